"""Whether probabilities mean what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import Floats, column, share_column

NUM_BINS = 15
_LEAST = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """b bins of equally many rows, by rising probability; equal ones share a bin."""

    count: Floats
    """(b,) rows in each, at least 1."""
    predicted: Floats
    """(b,) mean probability."""
    observed: Floats
    """(b,) share of what came true."""

    @property
    def gap(self) -> Floats:
        """(b,) distance between the two."""
        return np.abs(self.predicted - self.observed)


def reliability(
    probabilities: ArrayLike, came_true: ArrayLike, num_bins: int = NUM_BINS
) -> Reliability:
    """Adaptive bins; what a reliability diagram draws.

    Raises:
        CalibrationDataError: no rows, values outside [0, 1], or rows that do not fit together.
    """
    truth = share_column("came_true", came_true)
    told = share_column("probabilities", probabilities, len(truth))
    _, place, size = np.unique(told, return_inverse=True, return_counts=True)
    middle = np.cumsum(size) - size / 2
    bins = (middle * num_bins / len(truth)).astype(np.int64)[place]
    count = np.bincount(bins, minlength=num_bins).astype(np.float64)
    used = count > 0
    predicted = np.bincount(bins, told, num_bins)[used] / count[used]
    observed = np.bincount(bins, truth, num_bins)[used] / count[used]
    return Reliability(count[used], predicted, observed)


def adaptive_ece(probabilities: ArrayLike, came_true: ArrayLike, num_bins: int = NUM_BINS) -> float:
    """Mean distance between told and true over bins of equal mass. Chance alone lifts it above 0.

    Source: Nguyen and O'Connor 2015; Naeini et al., "Obtaining Well Calibrated Probabilities Using
    Bayesian Binning", AAAI 2015, with bins of equal mass.
    """
    table = reliability(probabilities, came_true, num_bins)
    return float(table.count @ table.gap / table.count.sum())


def debiased_ece(probabilities: ArrayLike, came_true: ArrayLike, num_bins: int = NUM_BINS) -> float:
    """`adaptive_ece` less what chance adds to it, at least 0.

    The share that came true in a bin of n rows is off by about sigma = sqrt(p (1 - p) / n); a gap g
    measured through such noise is too large by about E|g + sigma Z| - g. Where nothing is wrong
    this takes off two fifths of what chance adds: what is left still errs towards too large.
    Source: Kumar, Liang and Ma, "Verified Uncertainty Calibration", NeurIPS 2019, whose estimator
    for the first power resamples the normal noise; here its mean in closed form.
    """
    table = reliability(probabilities, came_true, num_bins)
    gap, share = table.gap, table.observed
    sigma = np.sqrt(share * (1.0 - share) / table.count)
    noisy = [_folded_mean(g, s) for g, s in zip(gap.tolist(), sigma.tolist(), strict=True)]
    return max(0.0, float(table.count @ (2 * gap - np.array(noisy)) / table.count.sum()))


def debiased_rms(probabilities: ArrayLike, came_true: ArrayLike, num_bins: int = NUM_BINS) -> float:
    """Root of the mean squared gap over the bins, of a mean that chance does not lift at all.

    Source: Kumar, Liang and Ma 2019, definition 5.1: each square less p (1 - p) / (n - 1).
    """
    table = reliability(probabilities, came_true, num_bins)
    chance = table.observed * (1.0 - table.observed) / np.maximum(1.0, table.count - 1.0)
    return float(np.sqrt(max(0.0, table.count @ (table.gap**2 - chance) / table.count.sum())))


def brier(probabilities: ArrayLike, came_true: ArrayLike) -> float:
    """Mean squared distance between told and true, in [0, 1]; 0 is best."""
    truth = share_column("came_true", came_true)
    return float(np.mean((share_column("probabilities", probabilities, len(truth)) - truth) ** 2))


def log_loss(probabilities: ArrayLike, came_true: ArrayLike) -> float:
    """Mean of -log of what was told of the truth, in nats; certain and wrong counts 27.6."""
    truth = column("came_true", came_true)
    told = share_column("probabilities", probabilities, len(truth))
    yes, no = np.log(np.maximum(told, _LEAST)), np.log(np.maximum(1.0 - told, _LEAST))
    return float(-np.mean(truth * yes + (1.0 - truth) * no))


def _folded_mean(mean: float, sigma: float) -> float:
    """E|mean + sigma Z| of a standard normal Z."""
    if sigma == 0.0:
        return abs(mean)
    ratio = mean / sigma
    return sigma * math.sqrt(2 / math.pi) * math.exp(-ratio * ratio / 2) + mean * math.erf(
        ratio / math.sqrt(2)
    )
