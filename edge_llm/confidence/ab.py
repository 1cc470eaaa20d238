"""Variants compared on real requests: what each is worth, and when one may stop asking.

Requests are given to arms at random with known propensities. Everything holds at any time, so that
one may look after every request. Knows not how arms are assigned or stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import column, share_column
from edge_llm.confidence.confidence_sequence import ConfidenceSequence
from edge_llm.confidence.metrics.intervals import Interval
from edge_llm.errors import CalibrationDataError

DELTA = 0.05
MARGIN = 0.02
_LEAST_PROPENSITY = 1e-6

State: TypeAlias = Literal["continue", "better", "worse", "harmful"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one arm against the baseline."""

    arm: str
    state: State
    """`better`: adopt it. `worse`, `harmful`: end it; the latter breaks the guard-rail."""
    reward: Interval
    """Of the arm's mean reward less the baseline's."""
    guard: Interval | None
    """The same of the guard-rail; None where it was never told."""


class Comparison:
    """Arms against a baseline, by a reward in [0, 1] and a guard-rail in [0, 1]; more is better.

    An arm is adopted when its reward is surely above the baseline's and its guard-rail surely not
    more than `margin` below; it is ended when its reward is surely below, or its guard-rail surely
    more than `margin` below. All these statements, for all arms and at all times, are right at once
    with probability 1 - `delta` (Bonferroni over arms and the two measures).

    A request tells of every arm: of its own by (reward - mean) / propensity + mean, of the others
    by the mean of their requests so far (AIPW with a mean known before; without bias whatever that
    mean is). Not thread-safe.
    Source: Robins, Rotnitzky and Zhao 1994; Waudby-Smith et al., "Anytime-Valid Off-Policy
    Inference for Contextual Bandits", 2024.
    """

    def __init__(
        self,
        propensities: Mapping[str, float],
        baseline: str,
        *,
        delta: float = DELTA,
        margin: float = MARGIN,
        least_seen: float = 1.0,
    ) -> None:
        """`propensities`: the smallest that each arm may have; `least_seen`: with which probability
        the guard-rail of a request is told, at least.

        Raises:
            CalibrationDataError: fewer than two arms, an unknown baseline, or no propensity.
        """
        if len(propensities) < 2 or baseline not in propensities:
            raise CalibrationDataError(f"{sorted(propensities)} with the baseline {baseline!r}")
        least = min(propensities.values()) * least_seen
        if not (least >= _LEAST_PROPENSITY and max(*propensities.values(), least_seen) <= 1.0):
            raise CalibrationDataError(f"propensities outside [{_LEAST_PROPENSITY}, 1]")
        self.baseline = baseline
        self.margin = margin
        self._propensities = dict(propensities)
        others = [name for name in propensities if name != baseline]
        share = delta / (2 * len(others))
        self._least_seen = least_seen
        self._rewards = _Measure(self._propensities, baseline, share)
        seen = {name: one * least_seen for name, one in self._propensities.items()}
        self._guards = _Measure(seen, baseline, share)

    def update(
        self,
        arm: str,
        reward: float,
        *,
        guard: float | None = None,
        guard_seen: float | None = None,
        propensity: float | None = None,
    ) -> None:
        """Take one request that was given to `arm`, with `propensity`; None: the announced one.

        Where the guard-rail is known of a random part only, as of kept requests that are checked in
        the shadow, `guard_seen` is the probability with which this one was to be told, and `guard`
        None where it was not: left out, such requests would bend the comparison.

        Raises:
            CalibrationDataError: an unknown arm, a value outside [0, 1], or a propensity below the
                smallest that was announced.
        """
        least = self._propensities.get(arm)
        if least is None:
            raise CalibrationDataError(f"no arm {arm!r}; known: {sorted(self._propensities)}")
        drawn = least if propensity is None else propensity
        if not least - 1e-12 <= drawn <= 1.0:
            raise CalibrationDataError(f"arm {arm!r} was drawn with {drawn!r}, below {least!r}")
        if guard_seen is not None and not self._least_seen - 1e-12 <= guard_seen <= 1.0:
            raise CalibrationDataError(f"seen with {guard_seen!r}, below {self._least_seen!r}")
        for value in (reward, guard):
            if value is not None and not 0.0 <= value <= 1.0:
                raise CalibrationDataError(f"{value!r} is outside [0, 1]")
        self._rewards.update(arm, reward, drawn)
        if guard is not None or guard_seen is not None:
            self._guards.update(arm, guard, drawn * (guard_seen or 1.0))

    def verdicts(self) -> tuple[Verdict, ...]:
        """Of every arm but the baseline, in the order given."""
        return tuple(self._verdict(name) for name in self._rewards.differences)

    def mean(self, arm: str) -> float | None:
        """The mean reward of an arm's own requests; None: it had none."""
        return self._rewards.mean(arm)

    def num_requests(self, arm: str) -> int:
        """How many requests the arm was given."""
        return self._rewards.counts[arm]

    def _verdict(self, arm: str) -> Verdict:
        reward = self._rewards.differences[arm].interval
        guarded = self._guards.differences[arm]
        guard = guarded.interval if guarded.num_values else None
        state: State = "continue"
        if guard is not None and guard.high < -self.margin:
            state = "harmful"
        elif reward.high < 0.0:
            state = "worse"
        elif reward.low > 0.0 and (guard is None or guard.low > -self.margin):
            state = "better"
        return Verdict(arm, state, reward, guard)


class _Measure:
    """The differences of one measure to the baseline."""

    def __init__(self, propensities: Mapping[str, float], baseline: str, delta: float) -> None:
        self.baseline = baseline
        self.sums = dict.fromkeys(propensities, 0.0)
        self.counts = dict.fromkeys(propensities, 0)
        self.differences = {}
        for name in propensities:
            if name != baseline:
                reach = 1.0 + 1.0 / min(propensities[name], propensities[baseline])
                self.differences[name] = ConfidenceSequence(delta, -reach, reach)

    def mean(self, arm: str) -> float | None:
        return self.sums[arm] / self.counts[arm] if self.counts[arm] else None

    def update(self, arm: str, value: float | None, propensity: float) -> None:
        means = {name: self._known(name) for name in self.sums}
        surprise = 0.0 if value is None else (value - means[arm]) / propensity
        for name, sequence in self.differences.items():
            told = means[name] - means[self.baseline]
            if arm == name:
                told += surprise
            elif arm == self.baseline:
                told -= surprise
            sequence.update(told)
        if value is not None:
            self.sums[arm] += value
            self.counts[arm] += 1

    def _known(self, arm: str) -> float:
        return (self.sums[arm] + 0.5) / (self.counts[arm] + 1)


def off_policy_value(
    rewards: ArrayLike,
    propensities: ArrayLike,
    target: ArrayLike,
    predictions: ArrayLike | None = None,
    *,
    delta: float = DELTA,
) -> Interval:
    """What another policy would have been worth on n logged requests, and a time-uniform interval.

    `rewards` (n,) in [0, 1] of the action taken, `propensities` (n,) with which it was drawn,
    `target` (n,) with which the other policy would have drawn it, `predictions` (n,) in [0, 1] of
    what the request earns whatever the action, made without the row: the better, the narrower
    (AIPW); None: 0, plain inverse propensities.
    Source: Horvitz and Thompson 1952; Dudik, Langford and Li, "Doubly Robust Policy Evaluation",
    ICML 2011.

    Raises:
        CalibrationDataError: rows that do not fit, or an action that could never have been drawn.
    """
    earned = share_column("rewards", rewards)
    drawn = share_column("propensities", propensities, len(earned))
    wanted = share_column("target", target, len(earned))
    if not len(earned) or float(drawn.min()) < _LEAST_PROPENSITY:
        raise CalibrationDataError(f"no rows, or propensities below {_LEAST_PROPENSITY}")
    told = np.zeros(len(earned)) if predictions is None else column("predictions", predictions)
    told = share_column("predictions", told, len(earned))
    ratio = wanted / drawn
    reach = float(max(1.0, ratio.max()))
    sequence = ConfidenceSequence(delta, -reach, 1.0 + reach)
    for value in (told + ratio * (earned - told)).tolist():
        sequence.update(value)
    return sequence.interval
