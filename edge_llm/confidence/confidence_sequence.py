"""An interval for a mean that holds at every moment at once: one may look and stop at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_llm.confidence.metrics.intervals import Interval
from edge_llm.errors import CalibrationDataError

_LARGEST_STAKE = 0.5


@dataclass(slots=True)
class ConfidenceSequence:
    """Of values between `low` and `high` whose mean, given all before, stays the same.

    The true mean is inside all intervals at once with probability 1 - `delta`. Its width shrinks
    with the variance of the values, about as sqrt(log t / t). O(1) a value, and no memory of them.
    Source: Waudby-Smith and Ramdas, "Estimating Means of Bounded Random Variables by Betting",
    JRSS B 2024, theorem 2 (predictable plug-in empirical Bernstein).
    """

    delta: float = 0.05
    low: float = 0.0
    high: float = 1.0
    num_values: int = 0
    _sum: float = 0.0
    _squares: float = 0.25
    _stakes: float = 0.0
    _weighted: float = 0.0
    _spread: float = 0.0
    _bottom: float = 0.0
    _top: float = 1.0

    def update(self, value: float) -> None:
        """Take one more value.

        Raises:
            CalibrationDataError: it is outside [low, high].
        """
        x = (value - self.low) / (self.high - self.low)
        if not -1e-9 <= x <= 1.0 + 1e-9:
            raise CalibrationDataError(f"{value!r} is outside [{self.low:g}, {self.high:g}]")
        before = (0.5 + self._sum) / (self.num_values + 1)
        variance = self._squares / (self.num_values + 1)
        self.num_values += 1
        count = self.num_values
        evidence = math.log(2.0 / self.delta)
        stake = math.sqrt(2.0 * evidence / (variance * count * math.log1p(count)))
        stake = min(stake, _LARGEST_STAKE)
        self._stakes += stake
        self._weighted += stake * x
        self._spread += (x - before) ** 2 * (-math.log1p(-stake) - stake)
        self._sum += x
        self._squares += (x - (0.5 + self._sum) / (count + 1)) ** 2
        middle = self._weighted / self._stakes
        half = (evidence + self._spread) / self._stakes
        # The mean is in all of them, so that it is in what they share.
        self._bottom = max(self._bottom, middle - half)
        self._top = min(self._top, middle + half)

    @property
    def interval(self) -> Interval:
        """The plain mean of the values so far, and where the true one is."""
        span = self.high - self.low
        mean = self._sum / self.num_values if self.num_values else math.nan
        return Interval(
            self.low + span * mean, self.low + span * self._bottom, self.low + span * self._top
        )
