"""How many threads to compute with: set, remembered, measured, or taken from the core counts."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from edge_llm.backends.base import ThreadPlan
from edge_llm.backends.threads.memory import PlannedThreads, ThreadMemory
from edge_llm.config import EdgeConfig, cache_folder
from edge_llm.device.cpu import cpu_name, cpu_quota
from edge_llm.device.free_cores import FreeCores
from edge_llm.device.topology import Topology, read_topology
from edge_llm.device.usage import OthersMeter

logger = logging.getLogger(__name__)

SMALL_MODEL_BYTES = 32 << 20
"""Below this a token takes less time than its barriers between threads do: one thread is faster."""

FEWER_IS_BETTER = 1.05
"""A thread more must save more than this: it takes a core from others and costs power."""

ANSWER_TOKENS = 32
"""A spoken sentence."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores that threads may be planned for."""

    topology: Topology
    quota: float | None = None
    """CPU seconds a second that the control group grants."""
    reserve: int = 0
    """Cores to leave to others."""

    @property
    def limit(self) -> int:
        """The most threads that ever run; at least 1."""
        quota = math.inf if self.quota is None else math.floor(self.quota)
        return max(1, int(min(self.topology.num_cpus - self.reserve, quota)))

    def candidates(self) -> tuple[int, ...]:
        """Numbers of threads worth a trial, the likeliest first.

        The cores without the slowest kind, all of them, those of the fastest kind, all
        processors, one core less, half of the cores, and one.
        """
        topology = self.topology
        counts = (
            topology.num_big_cores,
            topology.num_cores,
            topology.clusters[0].num_cores,
            topology.num_cpus,
            topology.num_big_cores - 1,
            topology.num_cores // 2,
            1,
        )
        return tuple(dict.fromkeys(max(1, min(count, self.limit)) for count in counts))

    def key(self) -> str:
        """What a measurement holds for: the machine, and what of it may be used."""
        kinds = ",".join(f"{c.num_cores}/{c.num_cpus}@{c.speed}" for c in self.topology.clusters)
        quota = "none" if self.quota is None else f"{self.quota:g}"
        return f"{cpu_name()}; cores {kinds}; quota {quota}; reserve {self.reserve}"


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that work takes, by number of threads."""

    decode: Mapping[int, float]
    """Of one token."""
    prefill: Mapping[int, float]
    """Of one chunk, the same for all."""


Timer: TypeAlias = Callable[[Sequence[int]], Timings | None]
"""Times numbers of threads on the loaded model; None when it is too slow to try several."""


class PlannedModel(NamedTuple):
    """What of a model its best number of threads depends on."""

    kind: str
    """What chooses the kernels: architecture, quantisation."""
    weight_bytes: int
    library: str
    """Name and version."""

    def key(self) -> str:
        """The kernels, and a class of sizes a factor of 1.4 wide: neighbours share one."""
        size = round(2 * math.log2(max(1, self.weight_bytes) / (1 << 20)))
        return f"{self.kind} 2^{size / 2:g} MiB; {self.library}"


class ThreadPlanner:
    """Decides for one model on one machine."""

    def __init__(
        self,
        config: EdgeConfig,
        cores: Cores,
        free: FreeCores,
        memory: ThreadMemory,
        *,
        apart: bool = True,
    ) -> None:
        """`apart` says that prompts can be read by another number of threads than writes tokens."""
        self._config = config
        self._cores = cores
        self._free = free
        self._memory = memory
        self._apart = apart

    def plan(self, model: PlannedModel, measure: Timer) -> ThreadPlan:
        """The numbers of threads for a model that is loaded."""
        found = self._configured(self._find(model, measure))
        logger.info(
            "%d threads decode, %d prefill (%s: %s)",
            found.decode,
            found.prefill,
            found.origin,
            found.reason,
        )
        return found

    def _configured(self, found: ThreadPlan | None) -> ThreadPlan:
        decode, prefill = self._config.threads, self._config.prefill_threads
        if found is None:
            return ThreadPlan(decode or 1, prefill or decode or 1, "configured", "as set")
        if prefill is None:
            return found
        return replace(found, prefill=prefill, reason=f"{found.reason}; prefill as set")

    def recall(self, model: PlannedModel) -> ThreadPlan | None:
        """What `plan` would say without measuring; None where it would measure."""
        if self._config.threads is not None:
            return self._configured(None)
        known = self._known(model)
        return None if known is None else self._configured(known)

    def _find(self, model: PlannedModel, measure: Timer) -> ThreadPlan | None:
        """What is right when nothing is set; None when `threads` is."""
        if self._config.threads is not None:
            return None
        known = self._known(model)
        if known is None:
            return self._measured(self._key(model), measure)
        self._free.look_back()  # so that the first token already makes room for others
        return known

    def _key(self, model: PlannedModel) -> str:
        return f"{self._cores.key()}; {model.key()}"

    def _known(self, model: PlannedModel) -> ThreadPlan | None:
        if model.weight_bytes < SMALL_MODEL_BYTES:
            return ThreadPlan(1, 1, "assumed", "a small model computes fastest on one core")
        if self._cores.limit == 1:
            return ThreadPlan(1, 1, "assumed", "one core is usable")
        known = self._memory.recall(self._key(model))
        if known is None:
            return None
        return ThreadPlan(
            min(known.decode, self._cores.limit),
            min(known.prefill, self._cores.limit),
            "remembered",
            f"timed on this machine with {self._cores.topology}",
        )

    def _measured(self, key: str, measure: Timer) -> ThreadPlan:
        if self._free.look_back():
            return self._assumed("others are using the cores, so timing would mislead")
        timings = measure(self._cores.candidates())
        if timings is None:
            return self._assumed("too slow to try several")
        if self._free.look_back():
            return self._assumed("others were using the cores while it was timed")
        best = best_threads(timings, apart=self._apart)
        self._memory.remember(key, best)
        return ThreadPlan(best.decode, best.prefill, "measured", _describe(timings))

    def _assumed(self, why: str) -> ThreadPlan:
        count = self._cores.candidates()[0]
        return ThreadPlan(count, count, "assumed", f"{self._cores.topology}; {why}")


def best_threads(timings: Timings, *, apart: bool) -> PlannedThreads:
    """The numbers that a measurement speaks for; not `apart`, one for both.

    That one is the best for an answer of `ANSWER_TOKENS` after a chunk of prompt.
    """
    if apart:
        decode, prefill = timings.decode, timings.prefill
        return PlannedThreads(fewest_of_the_fastest(decode), fewest_of_the_fastest(prefill))
    both = {n: ANSWER_TOKENS * s + timings.prefill[n] for n, s in timings.decode.items()}
    best = fewest_of_the_fastest(both)
    return PlannedThreads(best, best)


def fewest_of_the_fastest(seconds: Mapping[int, float]) -> int:
    """The smallest number of threads that is hardly slower than the fastest."""
    enough = min(seconds.values()) * FEWER_IS_BETTER
    return min(count for count, time in seconds.items() if time <= enough)


def cores_for(config: EdgeConfig, topology: Topology) -> Cores:
    """The cores that the configuration and the control group leave of the machine's."""
    return Cores(topology, cpu_quota(), config.reserve_cores)


def recall_threads(config: EdgeConfig, model: PlannedModel) -> ThreadPlan | None:
    """The threads that a model would be loaded with; None where loading would measure them."""
    topology = read_topology()
    free = FreeCores(topology.num_cpus, OthersMeter())
    memory = ThreadMemory(cache_folder(config))
    return ThreadPlanner(config, cores_for(config, topology), free, memory).recall(model)


def _describe(timings: Timings) -> str:
    token = ", ".join(f"{n}: {s * 1e3:.1f}" for n, s in sorted(timings.decode.items()))
    chunk = ", ".join(f"{n}: {s * 1e3:.0f}" for n, s in sorted(timings.prefill.items()))
    return f"ms a token by threads {token}; a chunk {chunk}"
