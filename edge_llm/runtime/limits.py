"""How long tiers take, learned from what they did; and how much time to keep for a local answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping

NEWEST_SHARE = 0.3
"""Weight of the newest answer in the moving average."""

MOST_RESERVED = 0.5
"""Part of the time left that is kept for a local answer at most: the cloud is to have a chance."""


class TierTimes:
    """Moving averages of the seconds that whole answers take. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[str, float] = {}

    def observe(self, tier: str, seconds: float) -> None:
        """A tier gave a whole answer in so many seconds."""
        with self._lock:
            before = self._seconds.get(tier, seconds)
            self._seconds[tier] = before + NEWEST_SHARE * (seconds - before)

    @property
    def expected_s(self) -> Mapping[str, float]:
        """By tier, as far as they have answered."""
        with self._lock:
            return dict(self._seconds)


def reserve_s(time_left_s: float, expected_s: float | None, share: float) -> float:
    """Seconds of those left that are kept for a local answer of the expected length."""
    wanted_s = share * time_left_s if expected_s is None else expected_s
    return min(wanted_s, MOST_RESERVED * time_left_s)
