"""Probabilities from few labels: two isotonic fits that bracket the truth, merged into one."""

from __future__ import annotations

import numpy as np

from edge_llm.confidence.arrays import Floats, Indices


def venn_abers(means: Floats, weights: Floats, at: Indices) -> Floats:
    """P(true) at the distinct scores of indices `at`, each in (0, 1).

    `means` and `weights` (m,): mean target and weight of distinct scores, ascending. A new object
    of weight 1 is put to each score once as false and once as true; the isotonic fits then give it
    p0 and p1, and p1 / (1 - p0 + p1) is the probability with the least regret in log loss.
    The fits are tangents between the lower hulls of the cumulated points left and right of the
    object, so that no fit is computed anew.
    Source: Vovk, Petej and Fedorova, "Large-Scale Probabilistic Predictors with and without
    Guarantees of Validity", NeurIPS 2015.
    """
    wide = np.concatenate([[0.0], np.cumsum(weights)])
    high = np.concatenate([[0.0], np.cumsum(weights * means)])
    wanted = set(at.tolist())
    left = _hulls(wide, high, wanted)
    mirrored = _hulls(-wide[::-1], high[::-1], {len(means) - 1 - index for index in wanted})
    told = []
    for index in at.tolist():
        lefts = left[index]
        rights = [len(wide) - 1 - point for point in mirrored[len(means) - 1 - index]]
        width = wide[rights] - wide[lefts][:, None] + 1.0
        rise = high[rights] - high[lefts][:, None]
        low, top = (((rise + label) / width).min(axis=1).max() for label in (0.0, 1.0))
        told.append(top / (1.0 - low + top))
    return np.array(told)


def _hulls(wide: Floats, high: Floats, wanted: set[int]) -> dict[int, list[int]]:
    """Lower hull of the points 0 .. i, as their indices, for each wanted i."""
    x, y = wide.tolist(), high.tolist()
    corners: list[int] = []
    found = {}
    for point in range(len(x)):
        while len(corners) > 1:
            first, middle = corners[-2], corners[-1]
            turn = (y[middle] - y[first]) * (x[point] - x[first])
            if turn < (y[point] - y[first]) * (x[middle] - x[first]):
                break
            corners.pop()
        corners.append(point)
        if point in wanted:
            found[point] = list(corners)
    return found
