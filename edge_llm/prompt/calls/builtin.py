"""The built-in model: as LFM2, without spaces and with arguments in the order of their names.

Source: `CHAT_TEMPLATE` in scripts/builtin/chat.py.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.lfm2 import MARKERS
from edge_llm.prompt.calls.python_layout import PythonLayout


def _recognise(evidence: Evidence) -> bool:
    return "<|tools|>" in evidence.source and "<|tool_call_start|>" in evidence.source


FORMAT = CallFormat(
    "builtin", PythonLayout(*MARKERS, comma=",", sorts=True), markers=MARKERS, recognise=_recognise
)
