"""How many threads a session gets, and whether they spin while they wait for work.

onnxruntime fixes both when a session is opened, so that numbers are compared by opening the graph
once for each, one after the other, and prompts are read by as many threads as write tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from edge_llm.backends.base import ThreadPlan
from edge_llm.backends.threads.memory import ThreadMemory
from edge_llm.backends.threads.plan import PlannedModel, ThreadPlanner, Timings, cores_for
from edge_llm.config import EdgeConfig, cache_folder
from edge_llm.device.cpu import cpu_quota
from edge_llm.device.free_cores import FreeCores
from edge_llm.device.power import on_battery
from edge_llm.device.topology import Topology
from edge_llm.errors import ConfigError

SLOW_OPEN_S = 1.5
"""A session that takes longer to open is opened once."""
TOTAL_S = 6.0
"""After this no more sessions are opened for a trial."""
TOKENS = 4
CHUNK = 32


class Trial(Protocol):
    """A graph that was opened to be timed."""

    def run(self, num_tokens: int) -> None:
        """Compute so many tokens from an empty context."""

    def close(self) -> None:
        """Give its memory back."""


OpenTrial: TypeAlias = Callable[[int], Trial | None]
"""Opens the graph with a number of threads; None where timing would tell nothing."""


class SessionThreads(NamedTuple):
    """What a session is opened with."""

    plan: ThreadPlan
    spins: bool
    """Threads that wait look for work instead of sleeping."""


def plan_threads(
    config: EdgeConfig,
    model: PlannedModel,
    topology: Topology,
    free: FreeCores,
    open_trial: OpenTrial,
) -> SessionThreads:
    """The threads for a model; opens it a few times where that has to be found out.

    Raises:
        ConfigError: `prefill_threads` differs from `threads`.
    """
    if config.prefill_threads not in (None, config.threads):
        raise ConfigError(
            f"prefill_threads is {config.prefill_threads}, and ONNX models read prompts with the"
            " threads that write tokens",
            hint="set threads alone",
        )
    memory = ThreadMemory(cache_folder(config))
    planner = ThreadPlanner(config, cores_for(config, topology), free, memory, apart=False)
    plan = planner.plan(model, lambda candidates: time_sessions(open_trial, candidates))
    reason = None if plan.decode == 1 else why_not_to_spin(free)
    if reason is not None:
        plan = plan.because(f"not spinning: {reason}")
    return SessionThreads(plan, reason is None)


def why_not_to_spin(free: FreeCores) -> str | None:
    """Why threads should sleep while they wait; None when they may look for work."""
    if free.look_back():
        return "others are using the cores"
    if cpu_quota() is not None:
        return "processor time is limited"
    return "the machine runs on its battery" if on_battery() else None


def time_sessions(
    open_trial: OpenTrial,
    candidates: Sequence[int],
    clock: Callable[[], float] = time.perf_counter,
) -> Timings | None:
    """Times of the candidates that there was time for; None when that is not even two."""
    started = clock()
    decode: dict[int, float] = {}
    prefill: dict[int, float] = {}
    longest = 0.0
    for threads in candidates:
        begun = clock()
        if decode and begun - started + longest > TOTAL_S:
            break
        trial = open_trial(threads)
        if trial is None:
            return None
        try:
            if clock() - begun > SLOW_OPEN_S:
                return None
            trial.run(1)  # reads the weights
            decode[threads] = min(_timed(trial, 1, clock) for _ in range(TOKENS))
            prefill[threads] = min(_timed(trial, CHUNK, clock) for _ in range(2))
        finally:
            trial.close()
        longest = max(longest, clock() - begun)
    return Timings(decode, prefill) if len(decode) > 1 else None


def _timed(trial: Trial, num_tokens: int, clock: Callable[[], float]) -> float:
    before = clock()
    trial.run(num_tokens)
    return clock() - before
