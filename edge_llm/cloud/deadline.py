"""One moment by which everything must be over, passed down instead of many durations.

On a clock that no change of the wall clock moves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on `clock`; infinity is never."""

    at_s: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """So many seconds from now."""
        return cls(clock() + seconds, clock)

    @classmethod
    def never(cls, clock: Clock = time.monotonic) -> Deadline:
        """No deadline."""
        return cls(math.inf, clock)

    @property
    def remaining_s(self) -> float:
        """Seconds left, 0 when it has passed, infinity when there is none."""
        return max(0.0, self.at_s - self.clock())

    @property
    def expired(self) -> bool:
        """Whether it has passed."""
        return self.clock() >= self.at_s

    def within(self, seconds: float) -> Deadline:
        """The earlier of this one and `seconds` from now."""
        return Deadline(min(self.at_s, self.clock() + seconds), self.clock)

    def less(self, seconds: float) -> Deadline:
        """This one, `seconds` earlier: keeps time for what must come after."""
        return Deadline(self.at_s - seconds, self.clock)
