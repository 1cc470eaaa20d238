"""DeepSeek V3, R1 and its distillations, and V3.1: name and arguments between full-width markers.

Source: the chat templates of DeepSeek-V3.1 and of llama-cpp-deepseek-r1, in llama.cpp
models/templates.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.named_layout import NamedLayout

# ruff: noqa: RUF001 — the bars of DeepSeek are full-width
_MARKERS = tuple(
    f"<｜tool▁{name}｜>" for name in ("calls▁begin", "calls▁end", "call▁begin", "call▁end", "sep")
)
_CALLS_BEGIN, _CALLS_END, _CALL_BEGIN, _CALL_END, _SEP = _MARKERS


def _is_new(evidence: Evidence) -> bool:
    return _CALL_BEGIN in evidence.source and "```json" not in evidence.source


def _is_old(evidence: Evidence) -> bool:
    return _CALL_BEGIN in evidence.source


R1 = CallFormat(
    "deepseek",
    NamedLayout(
        item_open=f"{_CALL_BEGIN}function{_SEP}",
        between="\n```json\n",
        item_close=f"\n```{_CALL_END}",
        section_open=_CALLS_BEGIN,
        section_close=_CALLS_END,
        separator="\n",
    ),
    markers=_MARKERS,
    recognise=_is_old,
)
V31 = CallFormat(
    "deepseek-v3.1",
    NamedLayout(
        item_open=_CALL_BEGIN,
        between=_SEP,
        item_close=_CALL_END,
        section_open=_CALLS_BEGIN,
        section_close=_CALLS_END,
    ),
    markers=_MARKERS,
    recognise=_is_new,
)
