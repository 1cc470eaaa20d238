"""The nearest rising sequence to a noisy one."""

from __future__ import annotations

import numpy as np

from edge_llm.confidence.arrays import Floats


def pool_adjacent_violators(values: Floats, weights: Floats) -> Floats:
    """(n,) the non-decreasing sequence with the least weighted squared distance to `values`.

    O(n). Source: Barlow, Bartholomew, Bremner and Brunk 1972; Best and Chakravarti 1990.
    """
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, size = value, weight, 1
        while means and means[-1] >= mean:
            below, less = means.pop(), masses.pop()
            mean = (below * less + mean * mass) / (less + mass)
            mass += less
            size += sizes.pop()
        means.append(mean)
        masses.append(mass)
        sizes.append(size)
    return np.repeat(np.array(means), sizes)


def merge_equal(scores: Floats, target: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Distinct scores ascending, with the mean target and the weight of each."""
    distinct, place = np.unique(scores, return_inverse=True)
    mass = np.bincount(place, weights).astype(np.float64)
    return distinct, np.bincount(place, weights * target) / mass, mass
