"""Whether a score merely measures how long answers are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import Floats, Mask, column, share_column

NUM_BINS = 10
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class LengthBin:
    """Answers of similar length."""

    min_tokens: float
    max_tokens: float
    num_answers: int
    confidence: float
    """Mean of it; `accuracy` is what it should be."""
    accuracy: float


@dataclass(frozen=True, slots=True)
class LengthBias:
    """An unbiased score has both correlations near 0: among equals, length tells it nothing."""

    when_right: float | None
    """Rank correlation of score and length among right answers; None: too few, or all alike."""
    when_wrong: float | None
    bins: tuple[LengthBin, ...]
    """By tenths of length."""


def length_bias(
    confidence: ArrayLike, is_right: ArrayLike, num_tokens: ArrayLike, num_bins: int = NUM_BINS
) -> LengthBias:
    """The audit of n answers; graded ones count as right above 0.5.

    Raises:
        CalibrationDataError: rows that do not fit together.
    """
    right = share_column("is_right", is_right)
    scores = column("confidence", confidence, len(right))
    length = column("num_tokens", num_tokens, len(right))
    good = right > 0.5
    return LengthBias(
        _rank_correlation(scores, length, good),
        _rank_correlation(scores, length, ~good),
        tuple(_bins(scores, right, length, num_bins)),
    )


def ranks(values: Floats) -> Floats:
    """(n,) ranks from 1; equal values share the middle of theirs."""
    _, place, size = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(size) - (size - 1) / 2)[place]


def _rank_correlation(first: Floats, second: Floats, rows: Mask) -> float | None:
    """Spearman's."""
    if rows.sum() < _FEWEST:
        return None
    x, y = ranks(first[rows]), ranks(second[rows])
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else None


def _bins(scores: Floats, right: Floats, length: Floats, num_bins: int) -> list[LengthBin]:
    place = ((ranks(length) - 0.5) * num_bins / max(1, len(length))).astype(np.int64)
    found = []
    for index in np.unique(place):
        rows = place == index
        found.append(
            LengthBin(
                float(length[rows].min()),
                float(length[rows].max()),
                int(rows.sum()),
                float(scores[rows].mean()),
                float(right[rows].mean()),
            )
        )
    return found
