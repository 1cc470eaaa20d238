"""How the device is, asked at most once a second whoever wants to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_llm.device.memory import available_memory_bytes
from edge_llm.routing.base import HealthFacts

MAX_AGE_S = 1.0


def read_health() -> HealthFacts:
    """The facts as the system gives them now; blocks for a file or two."""
    return HealthFacts(available_memory_bytes=available_memory_bytes())


class HealthMeter:
    """Remembers the last reading for a moment. May be used from any thread."""

    def __init__(self, read: Callable[[], HealthFacts] = read_health) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._facts = HealthFacts()
        self._read_at_s = float("-inf")

    def facts(self) -> HealthFacts:
        """The facts, at most a second old."""
        with self._lock:
            if time.monotonic() - self._read_at_s > MAX_AGE_S:
                self._facts = self._read()
                self._read_at_s = time.monotonic()
            return self._facts
