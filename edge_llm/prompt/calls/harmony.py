"""gpt-oss: messages on channels; one that is addressed to a function is a call.

An answer has one call at most: the token that ends it ends the turn.
Source: https://developers.openai.com/cookbook/articles/openai-harmony, read 2026-11-22, and the
chat template of gpt-oss-120b, in llama.cpp models/templates.
"""

from __future__ import annotations

from edge_llm.prompt.calls.base import CallFormat, Evidence
from edge_llm.prompt.calls.named_layout import NamedLayout

_CHANNEL, _MESSAGE, _CONSTRAIN = "<|channel|>", "<|message|>", "<|constrain|>"


def _recognise(evidence: Evidence) -> bool:
    return _CHANNEL in evidence.source and _MESSAGE in evidence.source


FORMAT = CallFormat(
    "harmony",
    NamedLayout(
        item_open=f"{_CHANNEL}commentary to=functions.",
        between=f" {_CONSTRAIN}json{_MESSAGE}",
        item_close="<|call|>",
        optional=(f"{_CHANNEL}commentary", f"{_CHANNEL}analysis", _CONSTRAIN, "json", _MESSAGE),
        more_opens=(f"{_CHANNEL}analysis to=functions.", " to=functions.", "to=functions."),
    ),
    markers=(_CHANNEL, _MESSAGE, _CONSTRAIN, "<|start|>", "<|end|>", "<|call|>"),
    silent=(
        "<|start|>assistant",
        f"{_CHANNEL}final{_MESSAGE}",
        f"{_CHANNEL}final {_CONSTRAIN}json{_MESSAGE}",
        f"{_CHANNEL}commentary{_MESSAGE}",
        "<|end|>",
    ),
    thoughts_key="thinking",
    words_open=f"{_CHANNEL}final{_MESSAGE}",
    start_opens=(" to=functions.", "to=functions."),
    max_calls=1,
    recognise=_recognise,
)
