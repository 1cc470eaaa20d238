"""How likely the least likely words of an answer were: signals that any model gives."""

from __future__ import annotations

import math
from bisect import insort

from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.types import TokenStatistics


class _Quantile:
    def __init__(self, share: float) -> None:
        self._share = share
        self._logprobs: list[float] = []

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        insort(self._logprobs, token.logprob)

    def value(self, draft: DraftState) -> float | None:
        found = self._logprobs
        return min(0.0, found[int(self._share * len(found))]) if found else None


def _signal(name: str, share: float, threshold: float) -> ConfidenceSignal:
    return ConfidenceSignal(name, lambda: _Quantile(share), math.exp, threshold)


MIN_LOGPROB = _signal("min_logprob", 0.0, 0.03)
LOW_LOGPROB = _signal("low_logprob", 0.1, 0.1)
Q25_LOGPROB = _signal("q25_logprob", 0.25, 0.4)
"""The a-quantile of the tokens' log-probabilities in nats, for a = 0, 0.1 and 0.25.

Nearest rank, sorted[floor(a T)], so that one token gives its own. An average is diluted by words
that any model finds likely; a low quantile is not. The score is exp of it: a probability of one
token. Cost: a binary search and one insertion for a token.
Source: Gupta et al., "Language Model Cascades: Token-Level Uncertainty and Beyond", ICLR 2024.
"""
