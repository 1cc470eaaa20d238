"""Functionary 3.1, which calls in tags, and 3.2, which names the recipient of every message.

Source: the chat templates of functionary-medium-v3.1 and v3.2, in llama.cpp models/templates.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.named_layout import NamedLayout


def _is_tags(evidence: Evidence) -> bool:
    return "<function=" in evidence.source and "</function>" in evidence.sample


def _is_recipient(evidence: Evidence) -> bool:
    return ">>>all" in evidence.source


TAGS = CallFormat(
    "functionary-v3.1",
    NamedLayout("<function=", ">", "</function>"),
    recognise=_is_tags,
)
RECIPIENT = CallFormat(
    "functionary-v3.2",
    NamedLayout(">>>", "\n"),
    silent=(">>>all\n",),
    words_open="all\n",
    prompt_ends_with=">>>",
    is_bare=True,
    recognise=_is_recipient,
)
