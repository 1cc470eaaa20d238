"""How fast this machine reads its memory, measured in a fifth of a second.

Reading alone counts: a model's weights are read and never written. Numbers are combined by
exclusive or, the least arithmetic there is, on all cores at once, so that memory is what they wait
for. The best round counts, because others can only make it slower; and one thread alone is tried
too, because on a busy machine several wait for whichever of them lost its core. On an idle machine
the result repeats within 5 %; beside other programs it has been seen to be half of that, never too
high: what comes from the caches is at most a part of one round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_llm.device.memory import available_memory_bytes
from edge_llm.device.topology import SYSFS

LEAST_BYTES = 64 << 20
MOST_BYTES = 512 << 20
TIMES_CACHE = 2
"""What is read must not fit in the caches; with this much, a round finds nothing of the last."""
SHARE_OF_FREE = 8
"""At most one part in so many of free memory is taken."""
BUDGET_S = 0.1
"""For one thread, and again for all."""
LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """What was measured."""

    bytes_per_s: float
    threads: int
    """That read together."""
    size: int
    """Bytes that were read in a round."""


def measure_bandwidth(
    threads: int, size: int | None = None, clock: Callable[[], float] = time.perf_counter
) -> Bandwidth:
    """Bytes a second that so many threads read from memory together; best of several rounds."""
    import numpy as np

    size = size or working_set()
    numbers = np.ones(size // 8, np.uint64)  # zeros would all lie in one page
    alone = _best_round([numbers], clock) if threads > 1 else float("inf")
    best = min(alone, _best_round(np.array_split(numbers, threads), clock))
    return Bandwidth(size / best, threads, size)


def _best_round(parts: Sequence[Any], clock: Callable[[], float]) -> float:
    """Seconds in which all parts are read at once, at best."""
    import numpy as np

    best, rounds = float("inf"), 0
    with ThreadPoolExecutor(len(parts)) as pool:
        started = clock()
        while rounds < LEAST_ROUNDS or clock() - started < BUDGET_S:
            before = clock()
            list(pool.map(np.bitwise_xor.reduce, parts))
            best = min(best, clock() - before)
            rounds += 1
    return best


def working_set(root: Path = SYSFS) -> int:
    """Bytes to read in a round: more than the caches hold, and little of free memory."""
    wanted = min(max(LEAST_BYTES, TIMES_CACHE * last_level_cache(root)), MOST_BYTES)
    return max(1 << 20, min(wanted, available_memory_bytes() // SHARE_OF_FREE))


def last_level_cache(root: Path = SYSFS) -> int:
    """Bytes of the largest cache that a core sees; 0 where the system does not tell."""
    sizes = [_size(path) for path in root.glob("cpu*/cache/index*/size")]
    return max(sizes, default=0)


def _size(path: Path) -> int:
    """Source: https://docs.kernel.org/admin-guide/abi-stable.html (size: `32768K`)."""
    try:
        text = path.read_text().strip()
        units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
        return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)
    except (OSError, ValueError):
        return 0
