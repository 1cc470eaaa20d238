"""For every model whose template has no place for tools: they are told in the system prompt.

Such a model is asked for what Hermes writes, which most have seen. What LFM2 writes is read too.
"""

from __future__ import annotations

from edge_llm.prompt.calls import hermes, lfm2
from edge_llm.prompt.calls.base import CallFormat, EitherLayout

FORMAT = CallFormat(
    "generic",
    EitherLayout((hermes.LAYOUT, lfm2.LAYOUT)),
    markers=("<tool_call>", "</tool_call>", *lfm2.MARKERS),
)
