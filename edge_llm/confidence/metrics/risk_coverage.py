"""How many of the kept answers are wrong, at every coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import Floats, column, share_column


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """n points; the i-th keeps the i + 1 most trusted of n answers."""

    coverage: Floats
    """(n,) share that is kept, ascending to 1."""
    risk: Floats
    """(n,) share of wrong ones among them; among equal scores, of a random choice."""

    def aurc(self) -> float:
        """Mean risk over all coverages.

        Source: Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation", ICLR 2019.
        """
        return float(self.risk.mean())

    def accuracy_at(self, coverage: float) -> float:
        """Share of right answers among the `coverage` most trusted, at least one answer."""
        index = max(1, round(coverage * len(self.risk))) - 1
        return float(1.0 - self.risk[index])


def risk_coverage(scores: ArrayLike, is_right: ArrayLike) -> RiskCoverage:
    """The curve of n answers; `scores` is trust, `is_right` in [0, 1].

    Raises:
        CalibrationDataError: rows that do not fit together.
    """
    right = share_column("is_right", is_right)
    values = column("scores", scores, len(right))
    _, place, size = np.unique(-values, return_inverse=True, return_counts=True)
    expected = (np.bincount(place, 1.0 - right) / size)[np.sort(place)]
    num_kept = np.arange(1, len(right) + 1)
    return RiskCoverage(num_kept / len(right), np.cumsum(expected) / num_kept)


def excess_aurc(scores: ArrayLike, is_right: ArrayLike) -> float:
    """AURC above that of a score that puts every wrong answer last; 0 is perfect."""
    return risk_coverage(scores, is_right).aurc() - risk_coverage(is_right, is_right).aurc()


def rejection_ratio(scores: ArrayLike, is_right: ArrayLike) -> float | None:
    """PRR: AURC between that of random rejection (0) and the perfect one (1); None: all alike.

    Source: Malinin, Mlodozeniec and Gales, "Ensemble Distribution Distillation", ICLR 2020.
    """
    random = 1.0 - float(np.mean(share_column("is_right", is_right)))
    best = risk_coverage(is_right, is_right).aurc()
    if random <= best:
        return None
    return (random - risk_coverage(scores, is_right).aurc()) / (random - best)
