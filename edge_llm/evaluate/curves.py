"""The four curves of a score, as points: what plots, terminals and reports draw alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.metrics.calibration_error import reliability
from edge_llm.confidence.metrics.deferral import DeferralCurve, oracle_curve
from edge_llm.confidence.metrics.report import curve_of
from edge_llm.confidence.metrics.risk_coverage import risk_coverage
from edge_llm.confidence.outcomes import Outcomes

MAX_POINTS = 200
"""Of a line; more are thinned out evenly, both ends kept."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a diagram."""

    label: str
    x: list[float]
    y: list[float]
    is_reference: bool = False
    """Drawn thinner: what there is to compare with."""


@dataclass(frozen=True, slots=True)
class Diagram:
    """One diagram."""

    name: str
    """Of its file."""
    title: str
    x_label: str
    y_label: str
    lines: list[Line]


def diagrams(scores: Floats, confidence: Floats, outcomes: Outcomes) -> list[Diagram]:
    """What the outcomes allow: without a cloud only what concerns local answers.

    `scores` (n,) decide, `confidence` (n,) is P(the local answer is right); both higher for better.
    """
    found = [_reliability(confidence, outcomes), _coverage(scores, outcomes)]
    curve = curve_of(scores, outcomes)
    if curve is None:
        return found
    best = _oracle(outcomes)
    found.insert(0, _escalated(curve, best))
    if outcomes.cloud_cost_usd is not None and float(curve.cost[-1]) > float(curve.cost[0]):
        found.append(_cost(curve))
    return found


def _escalated(curve: DeferralCurve, best: DeferralCurve) -> Diagram:
    ends = [curve.local_accuracy, curve.cloud_accuracy]
    return Diagram(
        "accuracy",
        "Accuracy against what is escalated",
        "share of requests escalated",
        "accuracy",
        [
            _line("this score", curve.share, curve.accuracy),
            _line("oracle", best.share, best.accuracy, is_reference=True),
            Line("random", [0.0, 1.0], ends, is_reference=True),
        ],
    )


def _reliability(confidence: Floats, outcomes: Outcomes) -> Diagram:
    bins = reliability(confidence, outcomes.local_correct)
    return Diagram(
        "reliability",
        "Calibration of the confidence",
        "confidence",
        "share of right answers",
        [
            _line("measured", bins.predicted, bins.observed),
            Line("perfect", [0.0, 1.0], [0.0, 1.0], is_reference=True),
        ],
    )


def _coverage(scores: Floats, outcomes: Outcomes) -> Diagram:
    curve = risk_coverage(scores, outcomes.local_correct)
    best = risk_coverage(outcomes.local_correct, outcomes.local_correct)
    all_of_it = float(1.0 - outcomes.local_correct.mean())
    return Diagram(
        "risk",
        "Wrong answers among those that are kept",
        "share of requests kept",
        "share of wrong answers",
        [
            _line("this score", curve.coverage, curve.risk),
            _line("oracle", best.coverage, best.risk, is_reference=True),
            Line("random", [0.0, 1.0], [all_of_it, all_of_it], is_reference=True),
        ],
    )


def _cost(curve: DeferralCurve) -> Diagram:
    ends = [float(curve.cost[0]), float(curve.cost[-1])]
    return Diagram(
        "cost",
        "Quality against cost",
        "USD per 1,000 requests",
        "accuracy",
        [
            _line("this score", curve.cost * 1000, curve.accuracy),
            Line("random", [1000 * end for end in ends],
                 [curve.local_accuracy, curve.cloud_accuracy], is_reference=True),
        ],
    )  # fmt: skip


def _oracle(outcomes: Outcomes) -> DeferralCurve:
    cloud = outcomes.cloud_correct
    if cloud is None:
        raise ValueError("no outcome of the cloud")
    known = ~np.isnan(cloud)
    return oracle_curve(outcomes.local_correct[known], cloud[known], outcomes.weight()[known])


def _line(label: str, x: Floats, y: Floats, *, is_reference: bool = False) -> Line:
    keep = thin(len(x))
    return Line(label, [float(x[i]) for i in keep], [float(y[i]) for i in keep], is_reference)


def thin(count: int, most: int = MAX_POINTS) -> Sequence[int]:
    """Indices of at most so many of `count` points, the first and the last among them."""
    if count <= most:
        return range(count)
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]
