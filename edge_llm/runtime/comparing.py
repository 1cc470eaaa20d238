"""How the arms of a comparison do so far, with intervals that hold however often one looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from edge_llm.confidence.ab import Comparison
from edge_llm.confidence.confidence_sequence import ConfidenceSequence
from edge_llm.runtime.arms import DEFAULT_ARM
from edge_llm.runtime.observations import AnswerRow, ShadowOutcome

Interval: TypeAlias = tuple[float, float]

DELTA = 0.05
"""Probability that an interval is ever wrong."""


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One arm."""

    name: str
    propensity: float
    num_answers: int
    escalated: float
    """Share of requests that the local tier did not answer."""
    escalated_interval: Interval
    cost_usd: float
    """Mean of a request."""
    e2e_s: float
    """Mean seconds of a request."""
    num_shadows: int
    agreement: float | None
    """Of kept answers with the cloud, on average; None: none was checked."""
    agreement_interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ArmVerdict:
    """One arm against the default."""

    name: str
    state: str
    """`continue`, `better`, `worse`, or `harmful`: its answers are surely worse."""
    kept_more: Interval
    """Share of requests that it keeps here beyond the default's."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ShadowSummary:
    """Shadow requests of one model at one task."""

    model: str
    task: str
    count: int
    agreement: float
    interval: Interval
    cost_usd: float
    """Of all of them."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def summarise_arms(rows: Sequence[AnswerRow]) -> list[ArmSummary]:
    """The arms by name, the default first; answers from before a comparison are left out."""
    names = {row.arm for row in rows if row.arm is not None}
    ordered = sorted(names, key=lambda name: (name != DEFAULT_ARM, name))
    return [_arm(name, [row for row in rows if row.arm == name]) for name in ordered]


def summarise_shadows(outcomes: Sequence[ShadowOutcome]) -> list[ShadowSummary]:
    """One line for each model and task."""
    keys = sorted({(one.model, one.task) for one in outcomes})
    return [
        _shadows(*key, [one for one in outcomes if (one.model, one.task) == key]) for key in keys
    ]


def interval_of(values: Iterable[float], delta: float = DELTA) -> Interval:
    """An interval for the mean of values in [0, 1] that holds at every moment, with 1 - delta."""
    sequence = ConfidenceSequence(delta)
    for value in values:
        sequence.update(value)
    found = sequence.interval
    return found.low, found.high


def compare_arms(rows: Sequence[AnswerRow]) -> list[ArmVerdict]:
    """Each arm against the default: its reward is what is kept here, its guard-rail agreement.

    Agreement of kept answers with the cloud is known where a shadow request was sent, and each of
    them stands for those that were not; an answer of the cloud agrees with itself. As long as no
    kept answer was checked, no arm is called better: keeping more proves nothing.
    """
    compared = [row for row in rows if row.arm is not None and row.propensity]
    least: dict[str, float] = {}
    for row in compared:
        name, drawn = row.arm or "", row.propensity or 1.0
        least[name] = min(drawn, least.get(name, 1.0))
    if len(least) < 2 or DEFAULT_ARM not in least:
        return []
    checked = [row.seen_with for row in compared if row.agreement is not None]
    comparison = Comparison(least, DEFAULT_ARM, least_seen=min(checked, default=1.0))
    for row in compared:
        comparison.update(
            row.arm or "",
            0.0 if row.is_escalated else 1.0,
            guard=(1.0 if row.is_escalated else row.agreement) if checked else None,
            guard_seen=(1.0 if row.is_escalated else row.seen_with) if checked else None,
            propensity=row.propensity,
        )
    return [
        ArmVerdict(
            one.arm,
            one.state if checked or one.state != "better" else "continue",
            (max(-1.0, one.reward.low), min(1.0, one.reward.high)),  # a difference of shares
        )
        for one in comparison.verdicts()
    ]


def _arm(name: str, rows: Sequence[AnswerRow]) -> ArmSummary:
    escalated = [float(row.is_escalated) for row in rows]
    checked = [row.agreement for row in rows if row.agreement is not None]
    return ArmSummary(
        name=name,
        propensity=rows[-1].propensity or 0.0,
        num_answers=len(rows),
        escalated=_mean(escalated),
        escalated_interval=interval_of(escalated),
        cost_usd=_mean([row.cost_usd for row in rows]),
        e2e_s=_mean([row.e2e_s for row in rows]),
        num_shadows=len(checked),
        agreement=_mean(checked) if checked else None,
        agreement_interval=interval_of(checked),
    )


def _shadows(model: str, task: str, outcomes: Sequence[ShadowOutcome]) -> ShadowSummary:
    agreed = [one.agreement for one in outcomes]
    return ShadowSummary(
        model=model,
        task=task,
        count=len(outcomes),
        agreement=_mean(agreed),
        interval=interval_of(agreed),
        cost_usd=sum(one.cost_usd for one in outcomes),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
