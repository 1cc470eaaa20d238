"""The model's own word: it was trained to begin with a certain token where it does not know."""

from __future__ import annotations

import math

from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.types import TokenStatistics


class _State:
    def __init__(self) -> None:
        self._has_begun = False
        self._logprob: float | None = None

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._logprob = token.watched_logprobs[0] if token.watched_logprobs else None

    def value(self, draft: DraftState) -> float | None:
        return None if self._logprob is None else 1.0 - math.exp(min(0.0, self._logprob))


UNSURE_TOKEN = ConfidenceSignal("unsure_token", _State, lambda value: value, 0.5)
"""1 - P(unsure token) at the first token of the answer, known before anything is said.

Needs that token as the first of the request's `watched_ids`. Cost: one exp for an answer.
Source: Chuang et al., "Self-REF: Learning to Route LLMs with Confidence Tokens", 2024 (the idea of
a trained token); the formula is ours.
"""
