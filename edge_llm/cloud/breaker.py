"""A circuit breaker: whoever fails again and again is left alone for a while. Pure but for a lock.

```
closed ──threshold failures in a row──► open ──cool-down over──► half_open ──success──► closed
                                        ▲                           └──failure──► open, longer
any ──key refused──► open until the configuration (its fingerprint) changes
```
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge_llm.cloud.deadline import Clock

BreakerPhase: TypeAlias = Literal["closed", "open", "half_open"]

FAILURES_TO_OPEN = 3
COOL_DOWN_S = 30.0
LONGEST_COOL_DOWN_S = 600.0


@dataclass(frozen=True, slots=True)
class BreakerState:
    """What a breaker looks like from outside."""

    phase: BreakerPhase
    failures: int
    """In a row, up to now."""
    retry_in_s: float
    """Until one request is let through again; 0 when it would be now, infinity when only another
    configuration helps."""
    reason: str | None
    """The `code` of the last error, while not closed."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one attempt; its outcome must be told to the breaker that gave it, once."""

    number: int
    probe: bool
    """Whether it is the only one that a half-open breaker lets through."""
    fingerprint: str


class CircuitBreaker:
    """Counts failures of one endpoint and says whether to try. May be shared by threads."""

    def __init__(
        self,
        *,
        failures_to_open: int = FAILURES_TO_OPEN,
        cool_down_s: float = COOL_DOWN_S,
        longest_cool_down_s: float = LONGEST_COOL_DOWN_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._first_cool_down_s = cool_down_s
        self._longest_cool_down_s = longest_cool_down_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_until_s = -math.inf
        self._is_open = False
        self._cool_down_s = cool_down_s
        self._reason: str | None = None
        self._blocked_fingerprint: str | None = None
        self._number = 0
        self._probe: int | None = None
        self._oldest_valid = 0

    @property
    def state(self) -> BreakerState:
        """The state now; looking changes nothing."""
        with self._lock:
            return self._state()

    def acquire(self, fingerprint: str = "") -> Permit | None:
        """Leave for one attempt with this configuration, or None while it is to be left alone."""
        with self._lock:
            blocked = self._blocked_fingerprint
            if blocked is not None and blocked != fingerprint:
                self._close()
            phase = self._state().phase
            if phase == "open" or (phase == "half_open" and self._probe is not None):
                return None
            self._number += 1
            if phase == "half_open":
                self._probe = self._number
            return Permit(self._number, phase == "half_open", fingerprint)

    def succeeded(self, permit: Permit) -> None:
        """The endpoint answered: closes the breaker."""
        with self._lock:
            if permit.number >= self._oldest_valid:
                self._close()

    def failed(self, permit: Permit, reason: str, retry_after_s: float | None = None) -> None:
        """The endpoint failed; it is left alone at least `retry_after_s` once the breaker opens."""
        with self._lock:
            if permit.number < self._oldest_valid:
                return  # it began before the breaker last changed: old news
            self._failures += 1
            self._reason = reason
            if permit.probe:
                self._cool_down_s = min(2 * self._cool_down_s, self._longest_cool_down_s)
                self._open(retry_after_s)
            elif not self._is_open and self._failures >= self._failures_to_open:
                self._open(retry_after_s)

    def blocked(self, permit: Permit, reason: str) -> None:
        """The endpoint refused the key: only another configuration helps."""
        with self._lock:
            if permit.number < self._oldest_valid:
                return
            self._failures += 1
            self._reason = reason
            self._blocked_fingerprint = permit.fingerprint
            self._forget_permits()

    def released(self, permit: Permit) -> None:
        """The attempt ended without a verdict on the endpoint, such as by its caller's leaving."""
        with self._lock:
            if self._probe == permit.number:
                self._probe = None

    def _state(self) -> BreakerState:
        if self._blocked_fingerprint is not None:
            return BreakerState("open", self._failures, math.inf, self._reason)
        if not self._is_open:
            return BreakerState("closed", self._failures, 0.0, None)
        wait_s = self._open_until_s - self._clock()
        if wait_s > 0.0:
            return BreakerState("open", self._failures, wait_s, self._reason)
        return BreakerState("half_open", self._failures, 0.0, self._reason)

    def _open(self, retry_after_s: float | None) -> None:
        wait_s = max(self._cool_down_s, min(retry_after_s or 0.0, self._longest_cool_down_s))
        self._is_open = True
        self._open_until_s = self._clock() + wait_s
        self._forget_permits()

    def _close(self) -> None:
        if self._is_open or self._blocked_fingerprint is not None:
            self._forget_permits()
        self._failures = 0
        self._is_open = False
        self._cool_down_s = self._first_cool_down_s
        self._reason = None
        self._blocked_fingerprint = None

    def _forget_permits(self) -> None:
        self._probe = None
        self._oldest_valid = self._number + 1
