"""Hermes 2 and 3, Qwen 2.5 and 3, Granite 4 and many others: a JSON object between tags.

Source: the chat templates of NousResearch Hermes 3 and Qwen2.5-7B-Instruct, in llama.cpp
models/templates at the version of llama-cpp-python 0.3.36.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.json_layout import JsonLayout

LAYOUT = JsonLayout("<tool_call>\n", "\n</tool_call>")


def _recognise(evidence: Evidence) -> bool:
    source = evidence.source
    return '<tool_call>\\n{"name": ' in source or (
        "<tool_call>" in source and "<arg_key>" not in source and "<invoke" not in source
    )


FORMAT = CallFormat("hermes", LAYOUT, markers=("<tool_call>", "</tool_call>"), recognise=_recognise)
