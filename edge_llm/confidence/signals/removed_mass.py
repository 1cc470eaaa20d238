"""How much of what the model wanted to say its grammar forbade."""

from __future__ import annotations

from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.types import TokenStatistics


class _Mass:
    def __init__(self) -> None:
        self._sum = 0.0
        self._largest = 0.0
        self._count = 0

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        self._sum += token.masked_mass
        self._largest = max(self._largest, token.masked_mass)
        self._count += 1


class _Max(_Mass):
    def value(self, draft: DraftState) -> float | None:
        return self._largest if self._count else None


class _Mean(_Mass):
    def value(self, draft: DraftState) -> float | None:
        return self._sum / self._count if self._count else None


def _to_score(value: float) -> float:
    return 1.0 - min(1.0, max(0.0, value))


MAX_REMOVED_MASS = ConfidenceSignal("max_removed_mass", _Max, _to_score)
MEAN_REMOVED_MASS = ConfidenceSignal("mean_removed_mass", _Mean, _to_score)
"""max and mean over t of 1 - sum of p_t over the tokens that the grammar allows, in [0, 1].

From the distribution before the mask; 0 without a grammar. Cost: one addition for a token.
Source: the doubt signal of constrained decoding, "Grammar-Aligned Decoding", arXiv:2405.21047,
takes the same mass as what masking distorts.
"""
