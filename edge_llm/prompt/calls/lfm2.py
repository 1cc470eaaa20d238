"""LFM2 and LFM2.5: a list of Python calls between two control tokens.

Source: the chat templates of LFM2-8B-A1B and LFM2.5 Instruct, in llama.cpp models/templates.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.python_layout import PythonLayout

MARKERS = ("<|tool_call_start|>", "<|tool_call_end|>")
LAYOUT = PythonLayout(*MARKERS)


def _recognise(evidence: Evidence) -> bool:
    marks = ("<|tool_call_start|>", "<|tool_list_start|>", "List of tools: [")
    return any(mark in evidence.source for mark in marks)


FORMAT = CallFormat("lfm2", LAYOUT, markers=MARKERS, recognise=_recognise)
