"""How much time has passed, on machines whose clock jumps and that start in the past.

A board without a battery shows 1970, or the time of its last shutdown, until the network tells it
better. So a moment remembers the clock on the wall and how long the machine had been running.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PLAUSIBLE_S = 1_767_225_600.0
"""2026-01-01: a clock on the wall that shows less has not been set."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment as this machine knows it. Of use to other processes, and after a restart."""

    wall_s: float
    """Seconds since the epoch, as the clock stood."""
    running_s: float
    """Seconds since the machine was started, sleep included where the system says so."""
    boot_id: str
    """Another one after each start; empty where the system does not say."""

    def was_this_boot(self, now: Moment) -> bool:
        """Whether the machine has not been started again since."""
        return self.boot_id == now.boot_id and self.running_s <= now.running_s

    def elapsed_s(self, now: Moment) -> float:
        """Seconds from this moment to `now`, at least 0.

        Exact while the machine runs. After it was started again: what the clocks on the wall say
        where both had been set, and at least as long as the machine has been running.
        """
        if self.was_this_boot(now):
            return now.running_s - self.running_s
        if min(self.wall_s, now.wall_s) < PLAUSIBLE_S:
            return now.running_s
        return max(now.running_s, now.wall_s - self.wall_s)


def read_clock() -> Moment:
    """This moment."""
    return Moment(time.time(), _running_s(), _boot_id())


def _running_s() -> float:
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@cache
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
