"""Every figure of a score at once, as tables and benchmarks print them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.metrics.auroc import auroc
from edge_llm.confidence.metrics.deferral import (
    DeferralCurve,
    deferral_curve,
    detector_curve,
    normalised_apgr,
    oracle_curve,
)
from edge_llm.confidence.metrics.risk_coverage import excess_aurc, rejection_ratio, risk_coverage
from edge_llm.confidence.outcomes import Outcomes

GAP_LEVELS = (0.2, 0.5, 0.8, 0.95)
ACCURACY_LEVELS = (0.95, 0.98, 1.0)


@dataclass(frozen=True, slots=True)
class RoutingQuality:
    """What a score is worth; None where the outcomes do not define a figure."""

    auroc_wrong: float | None
    """Of telling wrong local answers from right ones."""
    auroc_gain: float | None
    """Of telling those that the cloud betters from all others."""
    aurc: float
    excess_aurc: float
    rejection_ratio: float | None
    local_accuracy: float
    cloud_accuracy: float | None
    apgr: float | None
    apgr_oracle: float | None
    """Of knowing what would be gained: the best there is."""
    apgr_detector: float | None
    """Of knowing what is wrong."""
    apgr_normalised: float | None
    """Between random, 0, and the oracle, 1."""
    apgr_of_detector: float | None
    """Between random, 0, and the perfect detector of wrong answers, 1."""
    cpt: dict[float, float | None]
    """Share of requests escalated to close 0.2, 0.5, 0.8 and 0.95 of the gap."""
    handoff: dict[float, float | None]
    """H: share to reach 0.95, 0.98 and 1 of the cloud's accuracy."""
    aiq: float | None


def routing_quality(scores: Floats, outcomes: Outcomes) -> RoutingQuality:
    """The figures of `scores` (n,), trust; rows whose cloud answer is not known count for the
    figures of wrong answers alone.
    """
    right = outcomes.local_correct
    curve = curve_of(scores, outcomes)
    known = _known(outcomes)
    local = right[known]
    cloud = outcomes.cloud_correct[known] if outcomes.cloud_correct is not None else local
    mass = outcomes.weight()[known]
    oracle = oracle_curve(local, cloud, mass).apgr() if curve else None
    detector = detector_curve(local, cloud, mass).apgr() if curve else None
    apgr = curve.apgr() if curve else None
    return RoutingQuality(
        auroc_wrong=auroc(scores, right, outcomes.weights),
        auroc_gain=_auroc_gain(scores, outcomes),
        aurc=risk_coverage(scores, right).aurc(),
        excess_aurc=excess_aurc(scores, right),
        rejection_ratio=rejection_ratio(scores, right),
        local_accuracy=float(np.average(right, weights=outcomes.weights)),
        cloud_accuracy=curve.cloud_accuracy if curve else None,
        apgr=apgr,
        apgr_oracle=oracle,
        apgr_detector=detector,
        apgr_normalised=_normalised(apgr, oracle),
        apgr_of_detector=_normalised(apgr, detector),
        cpt={level: curve.share_for_gap(level) if curve else None for level in GAP_LEVELS},
        handoff={
            level: curve.share_for_accuracy(level) if curve else None for level in ACCURACY_LEVELS
        },
        aiq=curve.aiq() if curve else None,
    )


def curve_of(scores: Floats, outcomes: Outcomes) -> DeferralCurve | None:
    """Accuracy against share and cost, of the rows with a cloud answer; None: there are none."""
    known = _known(outcomes)
    if outcomes.cloud_correct is None or not known.any():
        return None
    return deferral_curve(
        np.asarray(scores)[known],
        outcomes.local_correct[known],
        outcomes.cloud_correct[known],
        weights=None if outcomes.weights is None else outcomes.weights[known],
        local_cost=None if outcomes.local_cost_usd is None else outcomes.local_cost_usd[known],
        cloud_cost=None if outcomes.cloud_cost_usd is None else outcomes.cloud_cost_usd[known],
    )


def _known(outcomes: Outcomes) -> np.ndarray:
    if outcomes.cloud_correct is None:
        return np.zeros(len(outcomes), np.bool_)
    return ~np.isnan(outcomes.cloud_correct)


def _auroc_gain(scores: Floats, outcomes: Outcomes) -> float | None:
    known = ~np.isnan(outcomes.gain)
    if not outcomes.has_cloud:
        return None
    return auroc(np.asarray(scores)[known], 1.0 - outcomes.gain[known], outcomes.weight()[known])


def _normalised(apgr: float | None, best: float | None) -> float | None:
    return None if apgr is None or best is None else normalised_apgr(apgr, best)
