"""CPU time a token, ours and llama.cpp's own programs', on one thread.

Where other work runs beside a benchmark, wall time says little and CPU time of several threads not
much more, because they wait for each other at barriers. One thread waits for nobody. The programs
do not report it, so it is the difference between a long run and a short one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.engine_speed import Timing, decode, prefill, random_prompt
from benchmarks.peers import batched_bench, children_cpu_s, llama_bench
from benchmarks.report import Figure, figure
from edge_llm.backends import load_backend
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine

DEPTH, TOKENS, PROMPT = 256, 32, 512
NUM_SEQS, BATCH_PROMPT, BATCH_TOKENS = 8, 128, 16


def compare_cpu(prefix: str, path: Path, rounds: int) -> dict[str, Figure]:
    """Ratios of the peer's CPU time to ours, and what of ours is not llama.cpp's."""
    config = EdgeConfig(context_size=2048, threads=1, max_num_seqs=NUM_SEQS, cache_max_mb=0)
    engine = Engine(load_backend(path, config))
    peers = _peers(path)
    ratios: dict[str, list[float]] = {name: [] for name in peers}
    around: dict[str, list[float]] = {"decode": [], "batch8": []}
    for number in range(rounds):
        print(f"{prefix} CPU time, round {number}", file=sys.stderr)
        ours = _ours(engine, number)
        for name, peer in peers.items():
            timing = ours[name]()
            seconds = timing if isinstance(timing, float) else timing.thread_s / timing.num_tokens
            ratios[name].append(peer() / seconds)
            if isinstance(timing, Timing):
                around[name].append(timing.around_s / timing.num_tokens * 1e3)
    engine.close()
    found = {f"{prefix}.{n}_cpu_to_peer": figure(v, "ratio") for n, v in ratios.items()}
    return found | {f"{prefix}.{n}_cpu_around": figure(v, "ms/token") for n, v in around.items()}


def _ours(engine: Engine, number: int) -> dict[str, Callable[[], Timing | float]]:
    many = [random_prompt(number * 100 + i, BATCH_PROMPT) for i in range(NUM_SEQS)]

    def prompt() -> float:
        started = time.process_time()
        prefill(engine, random_prompt(number + 5000, PROMPT))
        return (time.process_time() - started) / PROMPT

    return {
        "decode": lambda: decode(engine, [random_prompt(number, DEPTH)], TOKENS),
        "prefill": prompt,
        "batch8": lambda: decode(engine, many, BATCH_TOKENS),
    }


def _peers(path: Path) -> dict[str, Callable[[], float]]:
    """CPU seconds a token of each program."""

    def batch(times: int) -> object:
        return batched_bench(
            path, 1, prompt=BATCH_PROMPT, generate=BATCH_TOKENS * times, sequences=[NUM_SEQS]
        )

    return {
        "decode": lambda: _marginal_s(
            lambda n: llama_bench(path, 1, generate=TOKENS, depth=DEPTH, repetitions=n), TOKENS
        ),
        "prefill": lambda: _marginal_s(
            lambda n: llama_bench(path, 1, prompt=PROMPT, repetitions=n), PROMPT
        ),
        "batch8": lambda: _marginal_s(batch, BATCH_TOKENS * NUM_SEQS),
    }


def _marginal_s(run: Callable[[int], object], num_tokens: int) -> float:
    """CPU seconds that one more unit of work takes, by token."""
    begin = children_cpu_s()
    run(1)
    middle = children_cpu_s()
    run(3)
    return (children_cpu_s() - 2 * middle + begin) / (2 * num_tokens)
