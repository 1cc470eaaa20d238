"""Granite 3: a JSON list behind `<|tool_call|>`, or in some versions behind `<tool_call>`.

Granite 4 calls as Hermes does. Granite 3.3 puts its answer between tags when it thinks.
Source: the chat template of Granite 3.3 2B Instruct, in llama.cpp models/templates.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.json_layout import JsonLayout


def _recognise(evidence: Evidence) -> bool:
    return "<|tool_call|>" in evidence.source and "<|start_of_role|>" in evidence.source


FORMAT = CallFormat(
    "granite",
    JsonLayout("<|tool_call|>", is_list=True, more_opens=("<tool_call>",)),
    markers=("<|tool_call|>",),
    silent=("<response>", "</response>"),
    recognise=_recognise,
)
