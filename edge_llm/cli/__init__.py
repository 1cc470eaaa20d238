"""The `edge-llm` command. Heavy libraries load inside the command that uses them."""
