"""The rows that certify: scores with what keeping each would cost, by falling trust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edge_llm.confidence.arrays import Floats, Mask


class Levels(NamedTuple):
    """m distinct scores, and what happens when each is the threshold."""

    scores: Floats
    """(m,) falling."""
    lost: Floats
    """(m,) weighted loss of the kept rows."""
    kept: Floats
    """(m,) their weight."""


ROUNDING = 1e-12
"""How far thresholds stay away from scores: sums in another order end in other bits, and many equal
scores would all change sides."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """n rows; a row is kept when its score is at least the threshold."""

    scores: Floats
    """(n,) trust; -inf for a row that is escalated whatever the threshold."""
    losses: Floats
    """(n,) in [0, 1]: what is lost when it is kept."""
    weights: Floats
    """(n,) with mean 1."""

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def largest_weight(self) -> float:
        """What one more row could weigh."""
        return float(self.weights.max())

    def kept(self, threshold: float) -> Mask:
        """(n,) which rows are kept."""
        return self.scores >= threshold

    def levels(self) -> Levels:
        """What keeping from each score on would mean; never kept rows have none."""
        usable = np.isfinite(self.scores)
        distinct, place = np.unique(-self.scores[usable], return_inverse=True)
        weights, losses = self.weights[usable], self.losses[usable]
        lost = np.bincount(place, weights * losses, len(distinct))
        kept = np.bincount(place, weights, len(distinct))
        return Levels(-distinct, np.cumsum(lost), np.cumsum(kept))


def make_sample(scores: Floats, losses: Floats, weights: Floats) -> Sample:
    """The rows whose loss is known; the others, NaN, are left out."""
    known = ~np.isnan(losses)
    if not known.any():
        return Sample(np.empty(0), np.empty(0), np.empty(0))
    mass = weights[known]
    return Sample(scores[known], losses[known], mass / mass.mean())


def above(score: float) -> float:
    """The threshold that just leaves out `score`; at least 0, where everything is kept."""
    return max(0.0, float(score) + ROUNDING)
