"""Qwen3-Coder, Qwen3.5, Nemotron 3 Nano: tags for the function and for each of its parameters.

Source: the chat templates of Qwen3-Coder and Qwen3.5-4B, in llama.cpp models/templates.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.tag_layout import TagLayout


def _recognise(evidence: Evidence) -> bool:
    source = evidence.source
    return "<tool_call>" in source and "<function=" in source and "<parameter=" in source


FORMAT = CallFormat(
    "qwen-coder", TagLayout(), markers=("<tool_call>", "</tool_call>"), recognise=_recognise
)
