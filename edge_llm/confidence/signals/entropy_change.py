"""How the doubt between the chosen token and its best rival moves along the answer."""

from __future__ import annotations

import math

from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.types import TokenStatistics


def decision_entropy(token: TokenStatistics) -> float | None:
    """Entropy in nats of the chosen token against the likeliest other one, 0 to log 2.

    None where no other is known.
    """
    rivals = zip(token.top_ids, token.top_logprobs, strict=True)
    best = next((logprob for one, logprob in rivals if one != token.token_id), None)
    if best is None:
        return None
    gap = best - token.logprob  # log of (1 - p_c) / p_c
    if gap > _CERTAIN or gap < -_CERTAIN or gap != gap:
        return 0.0
    chosen = 1.0 / (1.0 + math.exp(gap))
    other = 1.0 - chosen
    return -sum(p * math.log(p) for p in (chosen, other) if p > 0.0)


_CERTAIN = 700.0
"""Beyond it exp overflows; the entropy is 0 long before."""


class _Change:
    def __init__(self) -> None:
        self._last: float | None = None
        self._sum = 0.0
        self._count = 0
        self._largest = 0.0

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        entropy = decision_entropy(token)
        if entropy is None:
            return
        if self._last is not None:
            change = abs(entropy - self._last)
            self._sum += change
            self._count += 1
            self._largest = max(self._largest, change)
        self._last = entropy


class _Max(_Change):
    def value(self, draft: DraftState) -> float | None:
        return self._largest if self._count else None


class _Mean(_Change):
    def value(self, draft: DraftState) -> float | None:
        return self._sum / self._count if self._count else None


def _to_score(value: float) -> float:
    return max(0.0, 1.0 - value / math.log(2))


MAX_ENTROPY_CHANGE = ConfidenceSignal("max_entropy_change", _Max, _to_score)
MEAN_ENTROPY_CHANGE = ConfidenceSignal("mean_entropy_change", _Mean, _to_score)
"""max and mean over t of |H(t) - H(t-1)|, in nats, 0 to log 2; known from the second token on.

H(t) = -(p log p + q log q), p = e^l(0) / (e^l(0) + e^l(i)), q = 1 - p: the chosen token l(0)
against the likeliest other one l(i). Forced tokens are passed over. Needs `top_logprobs`, two at
least. Cost: one exp and two logs for a token, for each of the two signals.
Source: "HALT", 2026, feature dH_dec.
"""
