"""Rates of the engine: prefill, and decoding of one or many sequences, in wall and CPU time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edge_llm.backends.base import Backend
from edge_llm.backends.llama_cpp.backend import LlamaCppBackend
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.types import SamplingParams

NUM_TOP = 20
"""Most likely tokens in the statistics of each token, which are on in every figure here."""

GREEDY = SamplingParams(temperature=0.0)


@dataclass(frozen=True, slots=True)
class Timing:
    """What some tokens took."""

    num_tokens: int
    wall_s: float
    thread_s: float
    """CPU time of the engine's thread, which computes and waits at barriers like the others."""
    around_s: float
    """The part of it outside of `llama_decode`: all that is ours."""

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.num_tokens / self.wall_s


def random_prompt(seed: int, count: int) -> tuple[int, ...]:
    """Arbitrary token ids without the end of turn."""
    return tuple(np.random.default_rng(seed).integers(300, 120_000, count).tolist())


def decode(engine: Engine, prompts: Sequence[tuple[int, ...]], num_tokens: int) -> Timing:
    """The prompts are computed first, then all go on together, each for `num_tokens`."""
    for prompt in prompts:
        engine.add_request(EngineRequest(prompt, GREEDY, prefill_only=True))
        finish(engine)
    for prompt in prompts:
        params = SamplingParams(temperature=0.0, max_tokens=num_tokens + 1)
        engine.add_request(EngineRequest(prompt, params, statistics=NUM_TOP))
    engine.step()
    with _native_seconds(engine.backend) as native:
        wall_s, thread_s = time.perf_counter(), time.thread_time()
        for _ in range(num_tokens):
            assert engine.has_work, "no sequence ends early"
            engine.step()
        wall_s, thread_s = time.perf_counter() - wall_s, time.thread_time() - thread_s
    assert not engine.has_work, "all end together"
    engine.clear_prefix_cache()
    return Timing(num_tokens * len(prompts), wall_s, thread_s, thread_s - native[0])


def prefill(engine: Engine, prompt: tuple[int, ...]) -> float:
    """Tokens per second until the first token after a prompt is known, with its statistics."""
    params = SamplingParams(temperature=0.0, max_tokens=1)
    started = time.perf_counter()
    engine.add_request(EngineRequest(prompt, params, statistics=NUM_TOP))
    finish(engine)
    elapsed = time.perf_counter() - started
    engine.clear_prefix_cache()
    return len(prompt) / elapsed


def first_token_s(engine: Engine, prompt: tuple[int, ...]) -> float:
    """Seconds until the first token of an answer to `prompt`."""
    started = time.perf_counter()
    engine.add_request(EngineRequest(prompt, SamplingParams(temperature=0.0, max_tokens=1)))
    finish(engine)
    return time.perf_counter() - started


def finish(engine: Engine) -> None:
    """Run to the end of all requests."""
    while engine.has_work:
        for event in engine.step():
            if event.error is not None:
                raise event.error


@contextmanager
def _native_seconds(backend: Backend) -> Iterator[list[float]]:
    """Adds up the CPU time that the calling thread spends inside of `llama_decode`."""
    assert isinstance(backend, LlamaCppBackend)
    library, _ = backend.raw
    original = library.llama_decode
    spent = [0.0]

    def timed(context: object, batch: object) -> int:
        started = time.thread_time()
        status: int = original(context, batch)
        spent[0] += time.thread_time() - started
        return status

    library.llama_decode = timed  # type: ignore[attr-defined]
    try:
        yield spent
    finally:
        library.llama_decode = original  # type: ignore[attr-defined]
