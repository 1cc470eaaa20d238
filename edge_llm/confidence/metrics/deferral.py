"""Accuracy against the share of requests that is escalated, at every threshold.

Scores are trust: the lowest are escalated first. Rows of one score go together, and between two
thresholds a random part of them: lines are straight there.
Source: Ong et al., "RouteLLM", 2024, section 3.3 (PGR, APGR, CPT), at every threshold instead of
ten; the hand-off shares are those by which Cactus compares hybrids, 2026.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import Floats, column, positive_column, share_column
from edge_llm.errors import CalibrationDataError


@dataclass(frozen=True, slots=True, eq=False)
class DeferralCurve:
    """m + 1 points, from nothing escalated to everything."""

    share: Floats
    """(m + 1,) of requests escalated, ascending from 0 to 1."""
    accuracy: Floats
    """(m + 1,) mean correctness of what is answered."""
    cost: Floats
    """(m + 1,) mean cost of a request; the share where costs are not known."""

    @property
    def local_accuracy(self) -> float:
        """With nothing escalated."""
        return float(self.accuracy[0])

    @property
    def cloud_accuracy(self) -> float:
        """With everything escalated."""
        return float(self.accuracy[-1])

    @property
    def recovered(self) -> Floats | None:
        """(m + 1,) PGR, the closed part of the gap between local and cloud; None: no gap."""
        gap = self.cloud_accuracy - self.local_accuracy
        return (self.accuracy - self.local_accuracy) / gap if gap > 0.0 else None

    def apgr(self) -> float | None:
        """Mean of PGR over the share; 0.5 is what random escalation gives. None: no gap."""
        recovered = self.recovered
        return None if recovered is None else float(np.trapezoid(recovered, self.share))

    def share_for_gap(self, level: float) -> float | None:
        """CPT: the smallest share that closes `level` of the gap; None: no gap."""
        recovered = self.recovered
        return None if recovered is None else _first_share(self.share, recovered, level)

    def share_for_accuracy(self, level: float) -> float | None:
        """H: the smallest share at which accuracy is `level` of the cloud's; None: it never is."""
        return _first_share(self.share, self.accuracy, level * self.cloud_accuracy)

    def accuracy_at(self, share: float) -> float:
        """Accuracy with so much escalated."""
        return float(np.interp(share, self.share, self.accuracy))

    def aiq(self) -> float | None:
        """Mean accuracy over costs, on the non-decreasing concave hull; None: they are all one.

        Source: Hu et al., "RouterBench", 2024, section 3.2.
        """
        cost, accuracy = _hull(self.cost, self.accuracy)
        span = cost[-1] - cost[0]
        return float(np.trapezoid(accuracy, cost) / span) if span > 0.0 else None


def deferral_curve(
    scores: ArrayLike,
    local_correct: ArrayLike,
    cloud_correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    local_cost: ArrayLike | None = None,
    cloud_cost: ArrayLike | None = None,
) -> DeferralCurve:
    """The curve of n requests; all arrays (n,). Every request costs its draft.

    Raises:
        CalibrationDataError: no rows, or rows that do not fit together.
    """
    local = share_column("local_correct", local_correct)
    num_rows = len(local)
    cloud = share_column("cloud_correct", cloud_correct, num_rows)
    if not num_rows:
        raise CalibrationDataError("no rows")
    mass = np.ones(num_rows) if weights is None else positive_column("weights", weights, num_rows)
    mass = mass / mass.sum()
    dear = np.ones(num_rows)
    if cloud_cost is not None:
        dear = positive_column("cloud_cost", cloud_cost, num_rows)
    draft = np.zeros(num_rows)
    if local_cost is not None:
        draft = positive_column("local_cost", local_cost, num_rows)
    _, place = np.unique(column("scores", scores, num_rows), return_inverse=True)
    share = _cumulated(place, mass)
    share[-1] = 1.0
    return DeferralCurve(
        share,
        float(mass @ local) + _cumulated(place, mass * (cloud - local)),
        float(mass @ draft) + _cumulated(place, mass * dear),
    )


def oracle_curve(
    local_correct: ArrayLike, cloud_correct: ArrayLike, weights: ArrayLike | None = None
) -> DeferralCurve:
    """The best that any score could do: escalated in the order of what is gained."""
    local, cloud = np.asarray(local_correct, np.float64), np.asarray(cloud_correct, np.float64)
    return deferral_curve(local - cloud, local, cloud, weights=weights)


def detector_curve(
    local_correct: ArrayLike, cloud_correct: ArrayLike, weights: ArrayLike | None = None
) -> DeferralCurve:
    """What knowing every wrong local answer gives, without knowing what the cloud can do."""
    return deferral_curve(local_correct, local_correct, cloud_correct, weights=weights)


def normalised_apgr(apgr: float, best: float) -> float | None:
    """APGR between random (0) and the best one (1), comparable between pairs of models."""
    return (apgr - 0.5) / (best - 0.5) if best > 0.5 else None


def _cumulated(place: np.ndarray, amounts: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(np.bincount(place, amounts))])


def _first_share(share: Floats, values: Floats, level: float) -> float | None:
    # A tolerance, for sums in another order: 1.0 of the cloud's accuracy is reached at share 1.
    reached = np.flatnonzero(values >= level - 1e-12)
    if not len(reached):
        return None
    last = int(reached[0])
    if last == 0:
        return 0.0
    rise = values[last] - values[last - 1]
    part = min(1.0, (level - values[last - 1]) / rise)
    return float(share[last - 1] + part * (share[last] - share[last - 1]))


def _hull(cost: Floats, accuracy: Floats) -> tuple[Floats, Floats]:
    """Corners of the smallest concave, non-decreasing line above all points."""
    corners: list[tuple[float, float]] = []
    for x, y in zip(cost.tolist(), np.maximum.accumulate(accuracy).tolist(), strict=True):
        while len(corners) > 1 and _is_below(corners[-2], corners[-1], (x, y)):
            corners.pop()
        corners.append((x, y))
    return np.array([x for x, _ in corners]), np.array([y for _, y in corners])


def _is_below(
    left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]
) -> bool:
    rise = (middle[1] - left[1]) * (right[0] - left[0])
    return rise <= (right[1] - left[1]) * (middle[0] - left[0])
