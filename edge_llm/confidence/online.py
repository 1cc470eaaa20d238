"""A threshold that follows what happens: labels keep coming from requests checked in the shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.errors import CalibrationDataError

STEP = 0.02
MOST_PER_LOSS = 0.05
"""How far one loss that is seen moves the share, at most."""


@dataclass(slots=True)
class OnlineThreshold:
    """The threshold at a share of past scores; the share moves with every request.

    A kept request that was checked tells its loss; divided by the probability of being checked it
    stands for all that were not. The share falls by `step` epsilon with each request, and rises by
    `step` loss / propensity with each loss. For any sequence of requests, drifting or hostile, the
    mean of loss / propensity over T requests is then at most
    epsilon + (1 + step / rho) / (step T), and its expectation is the mean loss: rho is the smallest
    propensity. Slower than a new certificate, and without its assumption.
    Source: Gibbs and Candes, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021,
    proposition 4.1, for losses that are seen with a probability.
    """

    quantiles: Floats
    """Ascending trust of past requests (`Calibration.grid`): where shares lie."""
    epsilon: float
    """The largest mean loss of a request, kept or not."""
    share: float
    """Of requests below the threshold; at 0 all are kept, from 1 on none."""
    step: float = STEP

    @property
    def threshold(self) -> float:
        """Requests that score at least this are kept."""
        if self.share <= 0.0:
            return 0.0
        if self.share >= 1.0:
            return math.nextafter(1.0, 2.0)
        places = np.linspace(0.0, 1.0, len(self.quantiles))
        return float(np.interp(self.share, places, self.quantiles))

    def update(self, loss: float | None = None, propensity: float = 1.0) -> float:
        """The threshold after one more request.

        `loss` in [0, 1] of a request that was kept and checked, with `propensity`; None for all
        others, the escalated ones among them.

        Raises:
            CalibrationDataError: a loss or a propensity that is none.
        """
        seen = 0.0
        if loss is not None:
            if not (0.0 <= loss <= 1.0 and 0.0 < propensity <= 1.0):
                raise CalibrationDataError(f"a loss of {loss!r} seen with {propensity!r}")
            seen = loss / propensity
        self.share = max(0.0, self.share + self.step * (seen - self.epsilon))
        return self.threshold


def share_at(threshold: float, quantiles: Floats) -> float:
    """The share of past requests below a threshold: where `OnlineThreshold` starts."""
    return float(np.interp(threshold, quantiles, np.linspace(0.0, 1.0, len(quantiles))))


def step_for(rho: float) -> float:
    """The step where a request is checked with probability `rho`.

    A loss that is seen stands for 1 / rho of them and moves the share by step / rho: with one step
    for every rho a single one among a hundred would give up all that is kept. What the bound leaves
    open is then about 20 / (requests that were checked).
    """
    return min(STEP, MOST_PER_LOSS * rho)
