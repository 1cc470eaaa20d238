"""Intervals for any figure, by drawing the same rows again: what two figures share cancels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import Floats, Indices
from edge_llm.confidence.metrics.intervals import Interval
from edge_llm.errors import CalibrationDataError

Statistic = Callable[[Indices], float | None]
"""A figure of the given rows; None where they do not define it."""

RESAMPLES = 1000


def bootstrap(
    statistic: Statistic,
    num_rows: int,
    *,
    groups: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """The figure of all rows with its percentile interval; None where it is not defined.

    For a comparison, `statistic` returns the difference of two figures on the same rows (paired).
    Rows of one of `groups` (num_rows,) are drawn together.
    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Raises:
        CalibrationDataError: no rows, or groups that do not fit.
    """
    if num_rows < 1:
        raise CalibrationDataError("no rows to draw from")
    value = statistic(np.arange(num_rows))
    if value is None:
        return None
    clusters = _clusters(num_rows, groups)
    rng = np.random.default_rng(seed)
    drawn = [statistic(_draw(rng, num_rows, clusters)) for _ in range(resamples)]
    known = np.array([one for one in drawn if one is not None])
    low, high = _ends(known, level)
    return Interval(value, low, high)


def _clusters(num_rows: int, groups: ArrayLike | None) -> list[Indices] | None:
    if groups is None:
        return None
    names = np.asarray(groups)
    if names.shape != (num_rows,):
        raise CalibrationDataError(f"groups: shape {names.shape} for {num_rows} rows")
    order = np.argsort(names, kind="stable")
    starts = np.flatnonzero(np.diff(names[order])) + 1
    return np.split(order, starts)


def _draw(rng: np.random.Generator, num_rows: int, clusters: list[Indices] | None) -> Indices:
    if clusters is None:
        return rng.integers(0, num_rows, num_rows)
    chosen = rng.integers(0, len(clusters), len(clusters))
    return np.concatenate([clusters[index] for index in chosen])


def _ends(values: Floats, level: float) -> tuple[float, float]:
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
