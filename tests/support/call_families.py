"""The families of tool calls: a template in the manner of each, and what goes in and comes out.

The templates are excerpts: what the real ones write around tools, calls and results, and nothing
else. Where the real ones stand is said in `edge_llm.prompt.calls`, file by file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FamilyCase:
    """One family."""

    format: str
    template: str
    answer: str
    """One call of `set` with `{"a": 1, "b": "x"}`, as the model writes it, words after it where
    the family has words there."""
    rendered: str
    """What the template makes of a conversation with that call in it."""
    tokens: tuple[str, ...] = ()
    words: str = ""
    """The words after the call."""


def _chat(before: str, call: str, result: str, header: str = "<{}>", end: str = "\n") -> str:
    """A template with these in the places of tools, of one call, and of a result."""
    open_ = header.replace("{}", "{{ m.role }}")
    ask = header.replace("{}", "assistant")
    return (
        before
        + "{% for m in messages %}{% if m.tool_calls %}"
        + ask
        + "{{ m.content }}"
        + call
        + end
        + "{% elif m.role == 'tool' %}"
        + result
        + "{% else %}"
        + open_
        + "{{ m.content }}"
        + end
        + "{% endif %}{% endfor %}{% if add_generation_prompt %}"
        + ask
        + "{% endif %}"
    )


_EACH = "{% for c in m.tool_calls %}{% set c = c.function %}"
_END = "{% endfor %}"
_TOOLS = "{% if tools %}{% for t in tools %}{{ t.function.name }};{% endfor %}{% endif %}"
_DSEEK = "<｜tool▁{}｜>"  # noqa: RUF001 — the bars are full-width
_CALLS, _CALLS_END, _CALL, _CALL_END, _SEP = (
    _DSEEK.format(name) for name in ("calls▁begin", "calls▁end", "call▁begin", "call▁end", "sep")
)
_ARGS = '{"a": 1, "b": "x"}'

CASES = (
    FamilyCase(
        "hermes",
        _chat(
            _TOOLS,
            _EACH + '<tool_call>\n{"name": "{{ c.name }}", "arguments": '
            "{{ c.arguments | tojson }}}\n</tool_call>" + _END,
            "<user><tool_response>{{ m.content }}</tool_response>",
        ),
        f'<tool_call>\n{{"name": "set", "arguments": {_ARGS}}}\n</tool_call>Done.',
        f'set;<user>hi\n<assistant><tool_call>\n{{"name": "set", "arguments": {_ARGS}}}\n'
        "</tool_call><user><tool_response>ok</tool_response><assistant>",
        ("<tool_call>", "</tool_call>"),
        "Done.",
    ),
    FamilyCase(
        "smollm3",
        "{% if xml_tools %}{% for t in xml_tools %}{{ t | string }};{% endfor %}{% endif %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>",
        f'<tool_call>{{"name": "set", "arguments": {_ARGS}}}</tool_call>',
        "{'type': 'function', 'function': {'name': 'set'}};<user>hi\n"
        f'<assistant><tool_call>{{"name": "set", "arguments": {_ARGS}}}</tool_call>\n'
        "<tool>ok\n<assistant>",
        ("<tool_call>", "</tool_call>"),
    ),
    FamilyCase(
        "llama3",
        _chat(
            _TOOLS,
            "{% if m.tool_calls | length != 1 %}{{ raise_exception('one call') }}{% endif %}"
            "{% set c = m.tool_calls[0].function %}"
            '{{ \'{"name": "\' + c.name + \'", "parameters": \' }}{{ c.arguments | tojson }}}',
            "<ipython>{{ m.content }}",
        ),
        f'{{"name": "set", "parameters": {_ARGS}}}',
        f'set;<user>hi\n<assistant>{{"name": "set", "parameters": {_ARGS}}}\n'
        "<ipython>ok<assistant>",
        ("<|python_tag|>",),
    ),
    FamilyCase(
        "mistral",
        _chat(
            "{% if tools %}[AVAILABLE_TOOLS]{% for t in tools %}{{ t.function.name }}{% endfor %}"
            "[/AVAILABLE_TOOLS]{% endif %}",
            "[TOOL_CALLS][{% for c in m.tool_calls %}{% if c.id | length != 9 %}"
            "{{ raise_exception('nine') }}{% endif %}{{ (c.function | tojson)[:-1] }}, "
            "\"id\": \"{{ c.id }}\"}{{ ', ' if not loop.last }}{% endfor %}]",
            "[TOOL_RESULTS]{{ m.tool_call_id | length }}:{{ m.content }}[/TOOL_RESULTS]",
        ),
        f'[TOOL_CALLS][{{"name": "set", "arguments": {_ARGS}}}]',
        "[AVAILABLE_TOOLS]set[/AVAILABLE_TOOLS]<user>hi\n"
        f'<assistant>[TOOL_CALLS][{{"name": "set", "arguments": {_ARGS}, "id": "74196fe72"}}]\n'
        "[TOOL_RESULTS]9:ok[/TOOL_RESULTS]<assistant>",
        ("[TOOL_CALLS]",),
    ),
    FamilyCase(
        "mistral-args",
        _chat(
            _TOOLS,
            "{% for c in m.tool_calls %}[TOOL_CALLS]{{ c.function.name }}"
            "[ARGS]{{ c.function.arguments | tojson }}{% endfor %}",
            "[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]",
        ),
        f"[TOOL_CALLS]set[CALL_ID]a1b2c3d4e[ARGS]{_ARGS}",
        f"set;<user>hi\n<assistant>[TOOL_CALLS]set[ARGS]{_ARGS}[TOOL_RESULTS]ok[/TOOL_RESULTS]"
        "<assistant>",
        ("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"),
    ),
    FamilyCase(
        "qwen-coder",
        _chat(
            _TOOLS,
            _EACH + "<tool_call>\n<function={{ c.name }}>\n{% for k, v in c.arguments | items %}"
            "<parameter={{ k }}>\n{{ v }}\n</parameter>\n{% endfor %}</function>\n</tool_call>"
            + _END,
            "<tool_response>{{ m.content }}</tool_response>",
        ),
        "<tool_call>\n<function=set>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nx\n"
        "</parameter>\n</function>\n</tool_call>",
        "set;<user>hi\n<assistant><tool_call>\n<function=set>\n<parameter=a>\n1\n</parameter>\n"
        "<parameter=b>\nx\n</parameter>\n</function>\n</tool_call>"
        "<tool_response>ok</tool_response><assistant>",
        ("<tool_call>", "</tool_call>"),
    ),
    FamilyCase(
        "gemma4",
        _chat(
            _TOOLS,
            _EACH + "<|tool_call>call:{{ c.name }}{% raw %}{{% endraw %}"
            "{% for k, v in c.arguments | dictsort %}{{ k }}:"
            "{% if v is string %}<|\"|>{{ v }}<|\"|>{% else %}{{ v }}{% endif %}"
            "{{ ',' if not loop.last }}{% endfor %}}<tool_call|>" + _END,
            "<|tool_response>{{ m.name }}:{{ m.content }}<tool_response|>",
        ),
        '<|tool_call>call:set{a:1,b:<|"|>x<|"|>}<tool_call|>',
        'set;<user>hi\n<assistant><|tool_call>call:set{a:1,b:<|"|>x<|"|>}<tool_call|>'
        "<|tool_response>set:ok<tool_response|><assistant>",
        ("<|tool_call>", "<tool_call|>", '<|"|>'),
    ),
    FamilyCase(
        "functiongemma",
        _chat(
            _TOOLS,
            _EACH + "<start_function_call>call:{{ c.name }}{% raw %}{{% endraw %}"
            "{% for k, v in c.arguments | dictsort %}{{ k }}:"
            "{% if v is string %}<escape>{{ v }}<escape>{% else %}{{ v }}{% endif %}"
            "{{ ',' if not loop.last }}{% endfor %}}<end_function_call>" + _END,
            "<start_function_response>{{ m.content }}<end_function_response>",
        ),
        "<start_function_call>call:set{a:1,b:<escape>x<escape>}<end_function_call>",
        "set;<user>hi\n<assistant><start_function_call>call:set{a:1,b:<escape>x<escape>}"
        "<end_function_call><start_function_response>ok<end_function_response><assistant>",
        ("<start_function_call>", "<end_function_call>", "<escape>"),
    ),
    FamilyCase(
        "gemma-code",
        "{% if tools %}Answer in ```tool_code blocks. {{ tools[0].function.name }}{% endif %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>",
        '```tool_code\nset(a=1, b="x")\n```Done.',
        "Answer in ```tool_code blocks. set<user>hi\n"
        '<assistant>```tool_code\nset(a=1, b="x")\n```\n<tool>ok\n<assistant>',
        (),
        "Done.",
    ),
    FamilyCase(
        "phi4",
        "{% for m in messages %}{% if m.role == 'system' and m.tools %}<|system|>{{ m.content }}"
        "<|tool|>{{ m.tools }}<|/tool|>{% else %}<|{{ m.role }}|>{{ m.content }}{% endif %}"
        "<|end|>{% endfor %}<|assistant|>",
        f'<|tool_call|>[{{"name": "set", "arguments": {_ARGS}}}]<|/tool_call|>',
        '<|system|><|tool|>[{"name": "set"}]<|/tool|><|end|><|user|>hi<|end|><|assistant|>'
        f'<|tool_call|>[{{"name": "set", "arguments": {_ARGS}}}]<|/tool_call|><|end|>'
        "<|tool|>ok<|end|><|assistant|>",
        ("<|tool_call|>", "<|/tool_call|>"),
    ),
    FamilyCase(
        "granite",
        "{% if tools %}Answer with <|tool_call|> and a list. "
        "{{ tools[0].function.name }}{% endif %}"
        "{% for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}\n"
        "{% endfor %}<|start_of_role|>assistant<|end_of_role|>",
        f'<|tool_call|>[{{"name": "set", "arguments": {_ARGS}}}]',
        "Answer with <|tool_call|> and a list. set<|start_of_role|>user<|end_of_role|>hi\n"
        "<|start_of_role|>assistant<|end_of_role|>"
        f'<|tool_call|>[{{"name": "set", "arguments": {_ARGS}}}]\n'
        "<|start_of_role|>tool<|end_of_role|>ok\n<|start_of_role|>assistant<|end_of_role|>",
        ("<|tool_call|>",),
    ),
    FamilyCase(
        "lfm2",
        "{% if tools %}List of tools: <|tool_list_start|>{{ tools[0].function.name }}"
        "<|tool_list_end|>{% endif %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>",
        "<|tool_call_start|>[set(a=1, b='x')]<|tool_call_end|>Done.",
        "List of tools: <|tool_list_start|>set<|tool_list_end|><user>hi\n"
        '<assistant><|tool_call_start|>[set(a=1, b="x")]<|tool_call_end|>\n<tool>ok\n<assistant>',
        ("<|tool_call_start|>", "<|tool_call_end|>"),
        "Done.",
    ),
    FamilyCase(
        "deepseek",
        _chat(
            _TOOLS,
            _CALLS + _EACH + f"{_CALL}function{_SEP}{{{{ c.name }}}}\n```json\n"
            f"{{{{ c.arguments | tojson }}}}\n```{_CALL_END}" + _END + _CALLS_END,
            "<output>{{ m.content }}",
        ),
        f"{_CALLS}{_CALL}function{_SEP}set\n```json\n{_ARGS}\n```{_CALL_END}{_CALLS_END}",
        f"set;<user>hi\n<assistant>{_CALLS}{_CALL}function{_SEP}set\n```json\n{_ARGS}\n```"
        f"{_CALL_END}{_CALLS_END}\n<output>ok<assistant>",
        (_CALLS, _CALLS_END, _CALL, _CALL_END, _SEP),
    ),
    FamilyCase(
        "deepseek-v3.1",
        _chat(
            "",
            _CALLS + _EACH + f"{_CALL}{{{{ c.name }}}}{_SEP}"
            f"{{{{ c.arguments | tojson }}}}{_CALL_END}" + _END + _CALLS_END,
            "<output>{{ m.content }}",
            header="({})",
        ),
        f"{_CALLS}{_CALL}set{_SEP}{_ARGS}{_CALL_END}{_CALLS_END}",
        "",
        (_CALLS, _CALLS_END, _CALL, _CALL_END, _SEP),
    ),
    FamilyCase(
        "harmony",
        _chat(
            _TOOLS,
            "{% set c = m.tool_calls[0].function %} to=functions.{{ c.name }}"
            "<|channel|>commentary json<|message|>{{ c.arguments | tojson }}<|call|>",
            "<|start|>functions.{{ m.name }} to=assistant<|channel|>commentary<|message|>"
            "{{ m.content | tojson }}<|end|>",
            header="<|start|>{}",
            end="",
        ),
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary"
        f" to=functions.set <|constrain|>json<|message|>{_ARGS}",
        "set;<|start|>userhi<|start|>assistant to=functions.set<|channel|>commentary json"
        f"<|message|>{_ARGS}<|call|><|start|>functions.set to=assistant<|channel|>commentary"
        '<|message|>"ok"<|end|><|start|>assistant',
        ("<|channel|>", "<|message|>", "<|constrain|>", "<|start|>", "<|end|>", "<|call|>"),
    ),
    FamilyCase(
        "functionary-v3.1",
        _chat(
            _TOOLS,
            _EACH + "<function={{ c.name }}>{{ c.arguments | tojson }}</function>" + _END,
            "<ipython>{{ m.content }}",
        ),
        f"<function=set>{_ARGS}</function>Done.",
        f"set;<user>hi\n<assistant><function=set>{_ARGS}</function><ipython>ok<assistant>",
        (),
        "Done.",
    ),
    FamilyCase(
        "functionary-v3.2",
        "{% if tools %}{{ tools[0].function.name }};{% endif %}{% for m in messages %}"
        "<{{ m.role }}>{% if m.role == 'assistant' %}{% if m.content %}>>>all\n{{ m.content }}"
        "{% endif %}{% for c in m.tool_calls or [] %}>>>{{ c.function.name }}\n"
        "{{ c.function.arguments }}{% endfor %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}"
        "<assistant>>>>",
        f"all\nWait.>>>set\n{_ARGS}",
        f"set;<user>hi<assistant>>>>set\n{_ARGS}<tool>ok<assistant>>>>",
        (),
    ),
    FamilyCase(
        "builtin",
        "{% if tools %}<|tools|>{{ tools[0].function.name }}<|end|>{% endif %}"
        "{% for m in messages %}<|{{ m.role }}|>{% if m.tool_calls %}<|tool_call_start|>["
        "{% for c in m.tool_calls %}{{ c.function.name }}("
        "{% for k, v in c.function.arguments | dictsort %}{{ k }}={{ v | tojson }}"
        "{{ ',' if not loop.last }}{% endfor %}){% endfor %}]<|tool_call_end|>{% endif %}"
        "{{ m.content }}<|end|>{% endfor %}<|assistant|>",
        '<|tool_call_start|>[set(a=1,b="x")]<|tool_call_end|>Done.',
        '<|tools|>set<|end|><|user|>hi<|end|><|assistant|><|tool_call_start|>[set(a=1,b="x")]'
        "<|tool_call_end|><|end|><|tool|>ok<|end|><|assistant|>",
        ("<|tool_call_start|>", "<|tool_call_end|>"),
        "Done.",
    ),
)  # fmt: skip
