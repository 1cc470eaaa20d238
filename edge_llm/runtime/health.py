"""How the device is, asked at most once a second whoever wants to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_llm.device.memory import available_memory_bytes
from edge_llm.device.pressure import read_pressure
from edge_llm.device.temperature import cpu_temperature
from edge_llm.device.throttling import read_throttling
from edge_llm.routing.base import HealthFacts

MAX_AGE_S = 1.0


def read_health() -> HealthFacts:
    """The facts as the system gives them now; blocks for a file or two."""
    memory = read_pressure().get("memory")
    throttling = read_throttling()
    return HealthFacts(
        available_memory_bytes=available_memory_bytes(),
        memory_pressure=None if memory is None else memory.some / 100.0,
        temperature_c=cpu_temperature(),
        is_throttled=throttling.slowed,
    )


class HealthMeter:
    """Remembers the last reading for a moment. May be used from any thread."""

    def __init__(self, read: Callable[[], HealthFacts] | None = None) -> None:
        """`read` stands in for `read_health`."""
        self._read = read or read_health
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
