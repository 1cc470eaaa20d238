"""How far the model's distributions are from knowing nothing."""

from __future__ import annotations

import math

from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.types import TokenStatistics


class _State:
    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        if token.self_certainty is not None:
            self._sum += token.self_certainty
            self._count += 1

    def value(self, draft: DraftState) -> float | None:
        return self._sum / self._count if self._count else None


def _to_score(value: float) -> float:
    return 1.0 - math.exp(-max(0.0, value) / _TYPICAL)


_TYPICAL = 10.0
"""Nats; what a model of 100k tokens has between a hesitant and a certain token."""

SELF_CERTAINTY = ConfidenceSignal("self_certainty", _State, _to_score)
"""(1/T) sum over t of KL(U || p_t) = logsumexp - mean logit - log V, in nats, 0 or more.

The far tail decides it: it means another thing for each model and quantisation. Needs the request's
`self_certainty`. Cost: one sum over the vocabulary for a token, see `engine.statistics`.
Source: Kang et al., "Scalable Best-of-N Selection via Self-Certainty", arXiv:2502.18581.
"""
