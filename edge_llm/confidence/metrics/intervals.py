"""Shares with the interval that their count allows."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import column
from edge_llm.errors import CalibrationDataError


class Interval(NamedTuple):
    """A value, and where the true one lies with the level asked for."""

    value: float
    low: float
    high: float


def wilson(successes: float, total: float, level: float = 0.95) -> Interval:
    """The share successes / total with its score interval, which also holds near 0 and 1.

    Source: Wilson 1927; Brown, Cai and DasGupta, "Interval Estimation for a Binomial Proportion",
    2001, equation 4.

    Raises:
        CalibrationDataError: not 0 <= successes <= total, or none at all.
    """
    if not (total > 0 and 0 <= successes <= total):
        raise CalibrationDataError(f"{successes!r} of {total!r} is no share")
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    share = successes / total
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * total)) / total) / (1 + z2 / total)
    # Where nothing or everything succeeded the ends are exact; sums would miss them by an ulp.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == total else min(1.0, middle + half)
    return Interval(share, low, high)


def violation_rate(realised: ArrayLike, bound: float, level: float = 0.95) -> Interval:
    """How often a promised bound was passed over repeated splits; `realised` (num_splits,)."""
    values = column("realised", realised)
    return wilson(int((values > bound).sum()), len(values), level)
