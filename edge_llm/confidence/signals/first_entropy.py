"""How sure the model was where its answer really begins."""

from __future__ import annotations

import math

from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.types import TokenStatistics


class _State:
    def __init__(self) -> None:
        self._value: float | None = None

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        if starts_answer and token.top_ids:
            most = math.log(len(token.top_ids))
            self._value = 1.0 - token.entropy / most if most > 0.0 else 1.0

    def value(self, draft: DraftState) -> float | None:
        return self._value


FIRST_ENTROPY = ConfidenceSignal(
    "first_entropy", _State, lambda value: min(1.0, max(0.0, value)), 0.5
)
"""1 - H_K / log K at the first token with content of the answer, in [0, 1].

H_K is the entropy of the K likeliest tokens, their probabilities divided by their sum. Needs
`top_logprobs`. Which token it is says `confidence.answer_start`. Cost: one division for an answer.
Source: "First-Token Confidence", arXiv:2605.05166.
"""
