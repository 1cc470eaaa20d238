"""Tokens per second against the number of sequences that speak together, under the two ceilings.

A step reads the weights once, however many sequences take part, and each sequence's own keys and
values: with few sequences memory is the ceiling, `n * bandwidth / bytes of a step`. With many it is
arithmetic: no token costs less than one of a prompt, where hundreds share each weight.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.engine_speed import decode, random_prompt
from benchmarks.limits import step_bytes
from benchmarks.peers import batched_bench, llama_bench, quantized_model
from benchmarks.random_model import QWEN2_0_5B
from benchmarks.report import Figure, figure
from edge_llm.backends import load_backend
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine

SEQUENCES = (1, 2, 4, 8, 16)
PROMPT, TOKENS = 128, 24


@dataclass(frozen=True, slots=True)
class Scaling:
    """Rates in tokens per second of all sequences together, by their number, one per round."""

    ours: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    peer: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    memory_limit: dict[int, float] = field(default_factory=dict)
    compute_limit: float = 0.0


def measure_scaling(threads: int, bandwidth: float, rounds: int) -> Scaling:
    """Ours and `llama-batched-bench` in turn, on the random 0.5B in Q4_0."""
    path = quantized_model("qwen2-0.5b", QWEN2_0_5B, "Q4_0", threads)
    prompts = [llama_bench(path, threads, prompt=512) for _ in range(rounds)]
    found = Scaling(compute_limit=max(prompts))
    for count in SEQUENCES:
        step = step_bytes(path, count, PROMPT + TOKENS // 2)
        found.memory_limit[count] = count * bandwidth / step
    cells = max(SEQUENCES) * (PROMPT + TOKENS + 2)
    config = EdgeConfig(
        context_size=cells, threads=threads, max_num_seqs=max(SEQUENCES), cache_max_mb=0
    )
    engine = Engine(load_backend(path, config))
    for number in range(rounds):
        print(f"scaling, round {number}", file=sys.stderr)
        _one_round(found, engine, path, threads, number)
    engine.close()
    return found


def _one_round(found: Scaling, engine: Engine, path: Path, threads: int, number: int) -> None:
    for count in SEQUENCES:
        prompts = [random_prompt(number * 100 + i, PROMPT) for i in range(count)]
        found.ours[count].append(decode(engine, prompts, TOKENS).rate)
        rates = batched_bench(path, threads, prompt=PROMPT, generate=TOKENS, sequences=[count])
        found.peer[count].append(rates[count])


def scaling_figures(found: Scaling) -> dict[str, Figure]:
    """The curve as figures."""
    figures = {"scaling.compute_limit": figure([found.compute_limit], "tok/s")}
    for count in SEQUENCES:
        peer = statistics.median(found.peer[count])
        limit = min(found.memory_limit[count], found.compute_limit)
        figures[f"scaling.{count}"] = figure(found.ours[count], "tok/s", peer=peer)
        figures[f"scaling.{count}.to_limit"] = figure(
            [rate / limit for rate in found.ours[count]], "ratio"
        )
    return figures
