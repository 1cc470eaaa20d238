"""How many other words the model had in mind, on average."""

from __future__ import annotations

import math

from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.types import TokenStatistics


def alternatives_entropy(token: TokenStatistics) -> float | None:
    """Entropy in nats of the likeliest tokens without the chosen one, as if no others existed.

    None for fewer than two.
    """
    others = [
        logprob
        for one, logprob in zip(token.top_ids, token.top_logprobs, strict=True)
        if one != token.token_id
    ]
    if len(others) < 2:
        return None
    # Relative to the likeliest of them: beside a certain token all underflow to 0.
    gaps = [logprob - others[0] for logprob in others]
    weights = [math.exp(gap) for gap in gaps]
    total = sum(weights)
    return max(0.0, math.log(total) - sum(map(_times, weights, gaps)) / total)


def _times(weight: float, gap: float) -> float:
    return weight * gap if weight > 0.0 else 0.0


class _State:
    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        entropy = alternatives_entropy(token)
        if entropy is not None:
            self._sum += entropy
            self._count += 1

    def value(self, draft: DraftState) -> float | None:
        return self._sum / self._count if self._count else None


def _to_score(value: float) -> float:
    return max(0.0, 1.0 - value / _MOST)


_MOST = math.log(20)

ALTERNATIVES_ENTROPY = ConfidenceSignal("alternatives_entropy", _State, _to_score)
"""(1/T) sum over t of -sum q log q, q the K likeliest tokens without the chosen one, sum 1.

In nats, 0 to log K. Needs `top_logprobs`. Cost: K exps for a token.
Source: "HALT", 2026, feature H_alts.
"""
