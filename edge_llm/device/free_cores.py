"""How many cores are free for us right now: quick to give one up, slow to take it back."""

from __future__ import annotations

import math
from typing import Protocol

CHECK_INTERVAL_S = 0.3
"""Shorter than a listener's patience, long enough for the kernel's ticks of 4 to 10 ms."""

STALE_S = 2.0
"""An average over a longer time does not say what is happening now."""

TAKES_A_CORE = 0.35
"""Share of a core from which on it counts as taken. One busy process that meets as many spinning
threads as there are cores gets half a core or more."""

LEAVES_A_CORE = 0.15
"""Share of a core below which it counts as left alone again."""

CALM_CHECKS = 3
"""Checks in a row before a core is taken back."""


class Meter(Protocol):
    """What `OthersMeter` offers."""

    def elapsed_s(self) -> float:
        """Seconds since the last sample."""

    def sample(self) -> float | None:
        """Cores that others used since the last call."""


class FreeCores:
    """Follows what others take of `num_usable` cores. Costs a clock reading between checks."""

    def __init__(self, num_usable: int, meter: Meter) -> None:
        self._num_usable = num_usable
        self._meter = meter
        self._num_taken = 0
        self._num_calm = 0

    @property
    def count(self) -> int:
        """Cores that others leave to us, as of the last check; at least 1."""
        return max(1, self._num_usable - self._num_taken)

    def limit(self, num_threads: int) -> int:
        """So many threads, or the free cores where those are fewer because others took some."""
        return min(num_threads, self.count) if self._num_taken else num_threads

    def begin(self) -> None:
        """Before work: forget a measurement that began too long ago to speak of the present."""
        if self._meter.elapsed_s() > STALE_S:
            self._meter.sample()

    def check(self) -> bool:
        """After work: look again when it is time to; True when `count` has changed."""
        if self._meter.elapsed_s() < CHECK_INTERVAL_S:
            return False
        others = self._meter.sample()
        return others is not None and self._follow(others)

    def look_back(self) -> bool:
        """Whether others took a core since the last sample, however long ago that was."""
        if self._meter.elapsed_s() >= CHECK_INTERVAL_S / 2:
            others = self._meter.sample()
            if others is not None:
                self._num_taken = _cores_taken(others, TAKES_A_CORE)
                self._num_calm = 0
        return self._num_taken > 0

    def _follow(self, others: float) -> bool:
        taken = _cores_taken(others, TAKES_A_CORE)
        if taken > self._num_taken:
            self._num_taken, self._num_calm = taken, 0
            return True
        wanted = _cores_taken(others, LEAVES_A_CORE)
        if wanted >= self._num_taken:
            self._num_calm = 0
            return False
        self._num_calm += 1
        if self._num_calm < CALM_CHECKS:
            return False
        self._num_taken, self._num_calm = wanted, 0
        return True


def _cores_taken(others: float, least_share: float) -> int:
    """Whole cores in `others`, a rest of `least_share` or more counted as one."""
    return math.floor(others + 1.0 - least_share)
