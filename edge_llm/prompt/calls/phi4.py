"""Phi-4-mini: a JSON list between `<|tool_call|>` and `<|/tool_call|>`.

Its template writes tools only where the system message brings them itself, as JSON text.
Source: https://huggingface.co/microsoft/Phi-4-mini-instruct, read 2026-11-22.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.json_layout import JsonLayout


def _recognise(evidence: Evidence) -> bool:
    return "<|tool|>" in evidence.source


FORMAT = CallFormat(
    "phi4",
    JsonLayout("<|tool_call|>", "<|/tool_call|>", is_list=True),
    markers=("<|tool_call|>", "<|/tool_call|>"),
    recognise=_recognise,
)
