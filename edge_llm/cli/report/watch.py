"""Temperature and throttling while something runs: looked at every second from a thread."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_llm.device.governor import read_clock_policies
from edge_llm.device.temperature import cpu_temperature
from edge_llm.device.throttling import Throttling, read_throttling

INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look."""

    temperature: float | None
    """Degrees Celsius."""
    throttling: Throttling
    clock_khz: int | None
    """Of the fastest core at the moment."""


class Watch:
    """Samples from its beginning to its end, the first and last included."""

    def __init__(self, root: Path = Path("/"), interval_s: float = INTERVAL_S) -> None:
        self._root = root
        self._interval_s = interval_s
        self._samples: list[Sample] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edge-llm-watch", daemon=True)

    def __enter__(self) -> Self:
        self._samples.append(self._look())
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self._samples.append(self._look())

    def summary(self) -> dict[str, Any]:
        """First, last and highest temperature, lowest clock, and what throttled meanwhile."""
        heat = [s.temperature for s in self._samples if s.temperature is not None]
        clocks = [s.clock_khz for s in self._samples if s.clock_khz is not None]
        states = [s.throttling for s in self._samples]
        return {
            "samples": len(self._samples),
            "temperature_c": {"first": heat[0], "highest": max(heat), "last": heat[-1]}
            if heat
            else "unknown",
            "clock_khz": {"lowest": min(clocks), "highest": max(clocks)} if clocks else "unknown",
            "slowed": _any([state.slowed for state in states]),
            "under_voltage": _any([state.under_voltage for state in states]),
            "throttling_at_end": asdict(states[-1]),
        }

    def _run(self) -> None:
        while not self._done.wait(self._interval_s):
            self._samples.append(self._look())

    def _look(self) -> Sample:
        clocks = [clock.current_khz or 0 for clock in read_clock_policies(self._root)]
        return Sample(
            cpu_temperature(self._root), read_throttling(self._root), max(clocks, default=0) or None
        )


def _any(values: list[bool | None]) -> bool | str:
    """Whether it was so at any time; "unknown" where nobody ever said."""
    told = [value for value in values if value is not None]
    return any(told) if told else "unknown"
