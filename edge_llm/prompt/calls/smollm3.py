"""SmolLM3: as Hermes, told through `xml_tools`, which templates take in place of `tools`.

Its other way, Python in `<code>`, is for agents that run code and is not asked for here.
Source: https://huggingface.co/HuggingFaceTB/SmolLM3-3B/blob/main/chat_template.jinja.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.json_layout import JsonLayout


def _recognise(evidence: Evidence) -> bool:
    return "xml_tools" in evidence.source


FORMAT = CallFormat(
    "smollm3",
    JsonLayout("<tool_call>", "</tool_call>"),
    markers=("<tool_call>", "</tool_call>"),
    recognise=_recognise,
)
