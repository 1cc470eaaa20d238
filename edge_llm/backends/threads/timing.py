"""Times numbers of threads against each other on a loaded model, within a few seconds at most.

Decoding waits for memory and prefill for arithmetic, so each has its own best number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from edge_llm.backends.base import ForwardInterruptedError, Interrupt
from edge_llm.backends.threads.plan import Timings

DECODE_BUDGET_S = 0.7
"""After this no more decode steps begin."""
TOTAL_BUDGET_S = 1.6
"""After this no more prefill chunks begin, nor any that would probably last longer."""
LIMIT_S = 3.0
"""After this even a computation that has begun is ended."""

DECODE_ROUNDS = 4
STEPS_PER_VISIT = 2
"""The first step after a change of threads also starts them."""
CHUNK_SIZES = (32, 8)
"""Tokens of a prefill chunk: enough for kernels that take rows in blocks, few for slow boards."""
CHEAPER_IN_CHUNKS = 3.0
"""How many times less a token of a chunk takes than one alone, at least, on most machines."""

RunTokens: TypeAlias = Callable[[int, int, Interrupt | None], None]
"""Computes tokens from an empty context: number of tokens, number of threads, interrupt."""


def time_threads(
    run: RunTokens, candidates: Sequence[int], clock: Callable[[], float] = time.perf_counter
) -> Timings | None:
    """Best times of the candidates that there was time for; None when that is not even two.

    The first candidate is the likeliest and is always among them.
    """
    trial = _Trial(run, clock)
    try:
        trial.run(1, candidates[0])  # reads the weights
        decode = trial.decode(candidates)
        if len(decode) < 2:
            return None
        prefill = trial.prefill(candidates, decode[candidates[0]])
    except ForwardInterruptedError:
        return None
    return Timings(decode, prefill or {candidates[0]: 0.0})


class _Trial:
    """One measurement with its deadline."""

    def __init__(self, run: RunTokens, clock: Callable[[], float]) -> None:
        self._run = run
        self._clock = clock
        self._started = clock()

    def run(self, num_tokens: int, threads: int) -> float:
        """Seconds that a computation takes.

        Raises:
            ForwardInterruptedError: the limit for the whole measurement came first.
        """
        before = self._clock()
        self._run(num_tokens, threads, lambda: self._elapsed() > LIMIT_S)
        return self._clock() - before

    def decode(self, candidates: Sequence[int]) -> dict[int, float]:
        """Seconds a token, the best of some; rounds in turn, so that noise hits all alike."""
        best: dict[int, float] = {}
        for _ in range(DECODE_ROUNDS):
            for threads in candidates:
                if self._elapsed() > DECODE_BUDGET_S:
                    return best
                taken = min(self.run(1, threads) for _ in range(STEPS_PER_VISIT))
                best[threads] = min(taken, best.get(threads, taken))
        return best

    def prefill(self, candidates: Sequence[int], token_s: float) -> dict[int, float]:
        """Seconds a chunk; empty when even a small one would take too long."""
        best: dict[int, float] = {}
        size = self._chunk_size(token_s)
        if size is None:
            return best
        expected = size * token_s / CHEAPER_IN_CHUNKS
        for _ in range(2):
            for threads in candidates:
                if not self._has_time_for(expected * max(1.0, candidates[0] / threads)):
                    continue
                taken = self.run(size, threads)
                best[threads] = min(taken, best.get(threads, taken))
                expected = best.get(candidates[0], expected)
        return best

    def _chunk_size(self, token_s: float) -> int | None:
        """The largest chunk of which at least two should fit in the time that is left."""
        fitting = (
            s for s in CHUNK_SIZES if self._has_time_for(2 * s * token_s / CHEAPER_IN_CHUNKS)
        )
        return next(fitting, None)

    def _has_time_for(self, seconds: float) -> bool:
        return self._elapsed() + seconds <= TOTAL_BUDGET_S

    def _elapsed(self) -> float:
        return self._clock() - self._started
