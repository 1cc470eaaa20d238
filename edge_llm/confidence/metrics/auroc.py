"""How well a score tells right answers from wrong ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import column, positive_column, share_column


def auroc(scores: ArrayLike, is_right: ArrayLike, weights: ArrayLike | None = None) -> float | None:
    """Probability that a right answer scores higher than a wrong one, in [0, 1]; ties count half.

    0.5 tells nothing, 1 tells all. None where all answers are right, or all are wrong. `is_right`
    may be graded in [0, 1]: such a row counts as right by that part, and as wrong by the rest.

    Source: Hanley and McNeil 1982, the Mann-Whitney statistic over its largest value.
    """
    right = share_column("is_right", is_right)
    values = column("scores", scores, len(right))
    mass = 1.0 if weights is None else positive_column("weights", weights, len(right))
    _, place = np.unique(values, return_inverse=True)
    good = np.bincount(place, right * mass)
    bad = np.bincount(place, (1.0 - right) * mass)
    pairs = float(good.sum() * bad.sum())
    if not pairs:
        return None
    below = np.cumsum(bad) - bad / 2
    return float((good * below).sum() / pairs)
