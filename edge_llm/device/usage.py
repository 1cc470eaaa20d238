"""How much of the usable processors other processes take: measured, not guessed from load averages.

Not thread-safe: one meter belongs to one thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from edge_llm.device.cpu import allowed_cpus

STAT = Path("/proc/stat")

_BUSY_COLUMNS = (0, 1, 2, 5, 6)
"""user, nice, system, irq, softirq. Source: proc_stat(5); guest time is in user already."""


class OthersMeter:
    """Tells what others used on our processors between two calls.

    Busy time of the processors in the affinity mask minus the processor time of this process.
    Time that a hypervisor takes away (steal) counts as nobody's: fewer threads would not bring it
    back. The kernel counts in ticks, so intervals of less than 0.1 s tell little.
    """

    def __init__(
        self,
        stat: Path = STAT,
        cpus: Iterable[int] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        own_time: Callable[[], float] = time.process_time,
    ) -> None:
        self._stat = stat if stat.exists() else None
        self._names = frozenset(f"cpu{cpu}" for cpu in (allowed_cpus() if cpus is None else cpus))
        self._clock = clock
        self._own_time = own_time
        self._last = self._read()

    def elapsed_s(self) -> float:
        """Seconds since the last `sample`, or since the meter was made."""
        return self._clock() - self._last[0]

    def sample(self) -> float | None:
        """Processors that others kept busy since the last call, on average; None: unknown."""
        before, self._last = self._last, self._read()
        elapsed = self._last[0] - before[0]
        if elapsed <= 0.0 or before[1] is None or self._last[1] is None:
            return None
        busy = self._last[1] - before[1]
        own = self._last[2] - before[2]
        return max(0.0, busy - own) / elapsed

    def _read(self) -> tuple[float, float | None, float]:
        """Clock, busy seconds of the processors, own processor seconds."""
        busy = _ask_psutil() if self._stat is None else self._read_stat(self._stat)
        return self._clock(), busy, self._own_time()

    def _read_stat(self, stat: Path) -> float | None:
        ticks = 0
        try:
            for line in stat.read_text().splitlines():
                name, *columns = line.split(None, 9)
                if not name.startswith("cpu"):
                    break
                if name in self._names:
                    ticks += sum(int(columns[column]) for column in _BUSY_COLUMNS)
        except (OSError, ValueError, IndexError):
            return None
        return ticks / os.sysconf("SC_CLK_TCK")


def _ask_psutil() -> float | None:
    import psutil

    times = psutil.cpu_times(percpu=True)
    return sum(t.user + t.nice + t.system for t in times) if times else None
