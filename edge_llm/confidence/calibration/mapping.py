"""From log-odds of a combination to probabilities that mean what they say."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.calibration.isotonic import merge_equal, pool_adjacent_violators
from edge_llm.confidence.calibration.logistic import fit_logistic, sigmoid
from edge_llm.confidence.calibration.venn_abers import venn_abers

MappingKind: TypeAlias = Literal["platt", "venn_abers", "isotonic"]

PLATT_BELOW = 300
"""Fewer labels than this, or fewer than `FEWEST_RARE` of the rarer kind, carry two numbers only."""
ISOTONIC_FROM = 1000
FEWEST_RARE = 30
PLATT_SHARE = 0.3
"""Of Platt in the two others: keeps them strictly rising, so that no order is lost, and smooth."""
NUM_KNOTS = 64
_LARGEST = 30.0


@dataclass(frozen=True, slots=True)
class ProbabilityMapping:
    """A rising function from log-odds to (0, 1): Platt's, alone or with a line through knots."""

    kind: MappingKind
    slope: float
    """Of Platt, at least 0."""
    intercept: float
    knots: tuple[float, ...] = ()
    """Log-odds, ascending; beyond the ends the line is level."""
    values: tuple[float, ...] = ()
    """Probability at each knot, not falling."""

    def probability(self, log_odds: float) -> float:
        """Of one draft; O(log(knots))."""
        platt = _logistic(self.slope * log_odds + self.intercept)
        if not self.knots:
            return platt
        return PLATT_SHARE * platt + (1.0 - PLATT_SHARE) * self._line(log_odds)

    def probabilities(self, log_odds: Floats) -> Floats:
        """(n,) the same of many."""
        x = np.clip(self.slope * log_odds + self.intercept, -_LARGEST, _LARGEST)
        platt = sigmoid(x)
        if not self.knots:
            return platt
        line: Floats = np.interp(log_odds, self.knots, self.values)
        return PLATT_SHARE * platt + (1.0 - PLATT_SHARE) * line

    def _line(self, log_odds: float) -> float:
        above = bisect_right(self.knots, log_odds)
        if above == 0:
            return self.values[0]
        if above == len(self.knots):
            return self.values[-1]
        left, right = self.knots[above - 1], self.knots[above]
        part = (log_odds - left) / (right - left)
        return self.values[above - 1] + part * (self.values[above] - self.values[above - 1])


def fit_mapping(log_odds: Floats, target: Floats, weights: Floats) -> ProbabilityMapping:
    """The mapping that so many labels carry: Platt, Venn-Abers from 300 on, isotonic from 1,000.

    `log_odds` (n,) of models that did not see the row, `target` (n,) in [0, 1]. Weighted rows count
    as fewer (Kish's effective number).
    Source: Platt 1999, section 2.2; Zadrozny and Elkan 2002; and see `venn_abers`.
    """
    num_labels = weights.sum() ** 2 / (weights**2).sum()
    share = float(weights @ target / weights.sum())
    slope, intercept = _fit_platt(log_odds, target, weights)
    is_thin = num_labels * min(share, 1.0 - share) < FEWEST_RARE
    if num_labels < PLATT_BELOW or is_thin or slope == 0.0:
        return ProbabilityMapping("platt", slope, intercept)
    distinct, means, mass = merge_equal(log_odds, target, weights / weights.mean())
    if num_labels < ISOTONIC_FROM:
        at = np.unique(np.linspace(0, len(distinct) - 1, NUM_KNOTS).astype(np.int64))
        knots, values = distinct[at], venn_abers(means, mass, at)
        # Equal in exact arithmetic, and a falling line would not be a mapping.
        values = np.maximum.accumulate(values)
        return ProbabilityMapping(
            "venn_abers", slope, intercept, tuple(knots.tolist()), tuple(values.tolist())
        )
    knots, values = _blocks(distinct, pool_adjacent_violators(means, mass), mass)
    return ProbabilityMapping(
        "isotonic", slope, intercept, tuple(knots.tolist()), tuple(values.tolist())
    )


def smoothed(target: Floats, weights: Floats) -> Floats:
    """(n,) targets drawn in by what one more label of each kind would do: never 0 or 1.

    Source: Platt 1999, section 2.2.
    """
    total = len(target) * float(weights @ target / weights.sum())
    yes, no = (total + 1.0) / (total + 2.0), 1.0 / (len(target) - total + 2.0)
    return no + target * (yes - no)


def _fit_platt(log_odds: Floats, target: Floats, weights: Floats) -> tuple[float, float]:
    aim = smoothed(target, weights)
    found = fit_logistic(log_odds[:, None], aim, weights, 1e-6)
    slope = float(found.weights[0])
    if slope > 0.0:
        return slope, found.bias
    # A score that orders the wrong way is worth no more than the share of all.
    share = float(weights @ aim / weights.sum())
    return 0.0, math.log(share / (1.0 - share))


def _blocks(scores: Floats, values: Floats, mass: Floats) -> tuple[Floats, Floats]:
    """The middle of each level stretch, with its value."""
    levels, place = np.unique(values, return_inverse=True)
    return np.bincount(place, mass * scores) / np.bincount(place, mass), levels


def _logistic(x: float) -> float:
    x = min(_LARGEST, max(-_LARGEST, x))
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x) / (1.0 + math.exp(x))
