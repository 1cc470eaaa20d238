"""How far the likeliest token was ahead of the next, on average."""

from __future__ import annotations

from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.types import TokenStatistics


class _State:
    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        self._sum += token.margin
        self._count += 1

    def value(self, draft: DraftState) -> float | None:
        return self._sum / self._count if self._count else None


MEAN_MARGIN = ConfidenceSignal("mean_margin", _State, lambda value: min(1.0, value), 0.6)
"""(1/T) sum over t of p_t(1) - p_t(2), in [0, 1]. Cost: one addition for a token.

Source: "UCCI", arXiv:2605.18796, which takes 1 minus this as the uncertainty.
"""
