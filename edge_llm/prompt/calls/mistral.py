"""Mistral: a JSON list behind `[TOOL_CALLS]`, or since Small 3.2 a name and its arguments.

Ids of calls are nine letters and digits; the templates refuse others.
Source: the chat templates of Mistral Nemo 2407, Small 3.2 2506 and Ministral 3 2512, in llama.cpp
models/templates.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.json_layout import JsonLayout
from edge_llm.prompt.calls.named_layout import NamedLayout

_ID_LENGTH = 9


def _is_list(evidence: Evidence) -> bool:
    return "[TOOL_CALLS]" in evidence.source


def _is_named(evidence: Evidence) -> bool:
    return "[TOOL_CALLS]" in evidence.source and "[ARGS]" in evidence.source


LIST = CallFormat(
    "mistral",
    JsonLayout("[TOOL_CALLS]", is_list=True),
    markers=("[TOOL_CALLS]",),
    id_length=_ID_LENGTH,
    recognise=_is_list,
)
NAMED = CallFormat(
    "mistral-args",
    NamedLayout("[TOOL_CALLS]", "[ARGS]", id_marker="[CALL_ID]"),
    markers=("[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"),
    id_length=_ID_LENGTH,
    recognise=_is_named,
)
