"""Text to token ids and back: templates, safe tokenising, detokenising, splitting of answers.

| module | what it gives |
|---|---|
| `messages` | checked messages in the one shape that templates expect |
| `chat_template` | a model's template, compiled in a sandbox |
| `encode` | messages to token ids, with the template's control tokens and no one else's |
| `audit` | what in a template and a vocabulary one should know before trusting them |
| `detokenize` | token ids to text, one at a time |
| `parse` | text to answer, reasoning and tool calls, as it is generated |
| `calls` | how each family of models spells tool calls and thoughts, one file each |
| `tool_places`, `tool_turns` | tools, calls and results in the way that a template takes |
| `thinking` | thoughts that do not eat the whole answer |
| `spoken` | a sentence for a call that came without words |
| `tokenizer` | the contract that a backend's vocabulary fulfils |
| `gguf_vocabulary` | the special tokens of a GGUF file, from its header alone |
| `byte_tokenizer` | a vocabulary of bytes, for tests and for the fake backend |
"""
