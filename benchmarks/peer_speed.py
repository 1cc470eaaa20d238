"""The engine against llama.cpp's own programs and `llama_cpp.Llama`: same file, threads and depth.

In each round ours and every peer run in turn, and each ratio is of one round, so that what the
machine does to one it mostly does to the other. Ours has statistics of every token on; the programs
do not even choose one.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine_speed import Timing, decode, prefill, random_prompt
from benchmarks.peers import (
    Quantization,
    batched_bench,
    llama_bench,
    llama_generate,
    open_llama,
    why_absent,
)
from benchmarks.random_model import LLAMA_3_2_1B, QWEN2_0_5B, Shape
from benchmarks.report import Figure, figure
from edge_llm.backends import load_backend
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine

DEPTH, TOKENS, PROMPT = 256, 64, 512
NUM_SEQS, BATCH_PROMPT, BATCH_TOKENS = 8, 128, 32
CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class PeerModel:
    """One model to compare on."""

    name: str
    shape: Shape
    kind: Quantization
    decode_goal: float
    """Share of llama-bench's decoding rate that ours should reach."""

    @property
    def prefix(self) -> str:
        """What its figures begin with."""
        return f"{self.name}.{self.kind.lower()}"


MODELS = (
    PeerModel("qwen2-0.5b", QWEN2_0_5B, "Q4_0", 0.96),
    PeerModel("qwen2-0.5b", QWEN2_0_5B, "Q4_K_M", 0.96),
    PeerModel("llama3.2-1b", LLAMA_3_2_1B, "Q4_0", 0.98),
    PeerModel("llama3.2-1b", LLAMA_3_2_1B, "Q4_K_M", 0.98),
)


def why_skipped() -> str | None:
    """Why nothing can be compared; None when it can."""
    return why_absent("llama-bench", "llama-batched-bench", "llama-quantize")


def compare(model: PeerModel, path: Path, threads: int, rounds: int) -> dict[str, Figure]:
    """All ratios on one model, one of each kind a round."""
    config = EdgeConfig(
        context_size=CONTEXT, threads=threads, max_num_seqs=NUM_SEQS, cache_max_mb=0
    )
    engine = Engine(load_backend(path, config))
    llama = open_llama(path, threads, DEPTH + TOKENS + 8)
    timings: dict[str, list[Timing]] = defaultdict(list)
    rates: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        print(f"{model.name} {model.kind} round {number}", file=sys.stderr)
        runs = _runs(engine, llama, path, threads, number)
        # Every other round backwards, so that nobody always runs in another's wake.
        order = sorted(runs, reverse=number % 2 == 1)
        for name in order:
            result = runs[name]()
            if number == 0:  # warms up
                continue
            if isinstance(result, Timing):
                timings[name].append(result)
            rates[name].append(result.rate if isinstance(result, Timing) else result)
    llama.close()
    engine.close()
    figures = _figures(model.prefix, model.decode_goal, rates)
    return figures | _cpu_figures(model.prefix, timings)


def _runs(
    engine: Engine, llama: object, path: Path, threads: int, number: int
) -> dict[str, Callable[[], Timing | float]]:
    """What is measured in a round, by name; pairs begin alike, so that they run side by side."""
    prompt = random_prompt(number, DEPTH)
    long = random_prompt(number + 100, PROMPT)
    many = [random_prompt(number * 100 + i + 1000, BATCH_PROMPT) for i in range(NUM_SEQS)]
    return {
        "batch8_bench": lambda: batched_bench(
            path, threads, prompt=BATCH_PROMPT, generate=BATCH_TOKENS, sequences=[NUM_SEQS]
        )[NUM_SEQS],
        "batch8_ours": lambda: decode(engine, many, BATCH_TOKENS),
        "decode_bench": lambda: llama_bench(path, threads, generate=TOKENS, depth=DEPTH),
        "decode_ours": lambda: decode(engine, [prompt], TOKENS),
        "decode_python": lambda: llama_generate(llama, prompt, TOKENS),
        "prefill_bench": lambda: llama_bench(path, threads, prompt=PROMPT),
        "prefill_ours": lambda: prefill(engine, long),
    }


def _figures(prefix: str, decode_goal: float, rates: dict[str, list[float]]) -> dict[str, Figure]:
    figures = {f"{prefix}.{name}": figure(values, "tok/s") for name, values in rates.items()}
    pairs = {
        "decode_to_llama_bench": ("decode_ours", "decode_bench", decode_goal),
        "decode_to_llama_generate": ("decode_ours", "decode_python", 1.05),
        "prefill_to_llama_bench": ("prefill_ours", "prefill_bench", 0.98),
        "batch8_to_batched_bench": ("batch8_ours", "batch8_bench", 0.95),
    }
    for name, (ours, peer, goal) in pairs.items():
        ratios = [one / other for one, other in zip(rates[ours], rates[peer], strict=True)]
        figures[f"{prefix}.{name}"] = figure(ratios, "ratio", goal=goal)
    return figures


def _cpu_figures(prefix: str, timings: dict[str, list[Timing]]) -> dict[str, Figure]:
    """CPU milliseconds a token of the engine's thread, in all and outside of `llama_decode`."""
    figures = {}
    for name, values in timings.items():
        key = f"{prefix}.{name}"
        for part, seconds in (
            ("wall", [t.wall_s / t.num_tokens for t in values]),
            ("thread_cpu", [t.thread_s / t.num_tokens for t in values]),
            ("around_model_cpu", [t.around_s / t.num_tokens for t in values]),
        ):
            figures[f"{key}.{part}"] = figure([s * 1e3 for s in seconds], "ms/token")
    return figures
