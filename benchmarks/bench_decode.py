"""How much of llama.cpp's decoding speed is left by the time a caller has the text.

Decoding is bound by memory: every token reads all weights once, so no loop can pass
`bandwidth / weight bytes`. What a runtime can do is lose nothing around `llama_decode`. Three loops
run in turn over the same file, threads and depth, in one process:

    raw      llama_decode through ctypes with a fixed token: what `llama-bench` times
    engine   Engine.step: schedule, forward, sample, detokenise
    runtime  EdgeLLM.stream: all of it, through the event loop to the caller's thread

`--quick` measures the built-in model, and the random 0.5B with fewer tokens.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.limits import measure_bandwidth
from benchmarks.random_model import QWEN2_0_5B, cached_model
from benchmarks.report import Figure, figure, report
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.backends.llama_cpp.backend import LlamaCppBackend
from edge_llm.backends.llama_cpp.batch import TokenBatch
from edge_llm.config import EdgeConfig
from edge_llm.device.cpu import usable_cpus
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.hub.packaged import models_folder
from edge_llm.hub.resolve import BUILTIN_FILE
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.types import SamplingParams

PROMPT_TOKENS = 64
GREEDY = SamplingParams(temperature=0.0)
NUCLEUS = SamplingParams(temperature=0.8, top_k=0, top_p=0.9, min_p=0.0, seed=0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured on one model."""

    name: str
    path: Path
    threads: int
    num_tokens: int
    repeats: int
    engine_goal: float | None
    """Share of the raw loop's speed that the engine should keep."""


def main() -> None:
    """Measure, then print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--threads", type=int, default=usable_cpus())
    arguments = parser.parse_args()

    figures: dict[str, Figure] = {}
    bandwidth = measure_bandwidth(arguments.threads)
    figures["read_bandwidth"] = figure([bandwidth / 1e9], "GB/s")
    for plan in make_plans(arguments.quick, arguments.threads):
        print(f"{plan.name}: {plan.num_tokens} tokens, {plan.repeats} times", file=sys.stderr)
        figures |= measure(plan, bandwidth)
    report("decode", figures, ["llama-cpp-python", "numpy"])


def make_plans(quick: bool, threads: int) -> list[Plan]:
    """The built-in model on one thread, and a random 0.5B on all."""
    builtin = models_folder() / BUILTIN_FILE
    large = cached_model("qwen2-0.5b-q4_0", QWEN2_0_5B)
    tokens = 24 if quick else 96
    repeats = 3 if quick else 7
    return [
        Plan("builtin", builtin, 1, 256, repeats, 0.7),
        Plan("random_0.5b", large, threads, tokens, repeats, 0.96),
    ]


def measure(plan: Plan, bandwidth: float) -> dict[str, Figure]:
    """All loops on one model, in turn within each repeat so that noise hits them alike."""
    # The raw loop takes sequence ids of its own, so nothing may stay in the prefix cache.
    config = EdgeConfig(
        model=str(plan.path), context_size=512, threads=plan.threads, prefix_slots=0, cache_max_mb=0
    )
    backend = load_backend(plan.path, config)
    engine = Engine(backend)
    loops: dict[str, Callable[[], float]] = {
        "raw": lambda: raw_loop(backend, plan.num_tokens),
        "engine_greedy": lambda: engine_loop(engine, GREEDY, plan.num_tokens),
        "engine_top_p": lambda: engine_loop(engine, NUCLEUS, plan.num_tokens),
    }
    with EdgeLLM(plan.path, context_size=512, threads=plan.threads) as llm:
        loops["runtime_greedy"] = lambda: runtime_loop(llm, plan.num_tokens)
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for repeat in range(-1, plan.repeats):
            for name, loop in loops.items():
                elapsed = loop()
                if repeat >= 0:  # the first round warms up
                    seconds[name].append(elapsed)
    engine.close()
    return make_figures(plan, seconds, bandwidth)


def make_figures(
    plan: Plan, seconds: dict[str, list[float]], bandwidth: float
) -> dict[str, Figure]:
    """Rates, their ratios to the raw loop of the same repeat, and the time lost per token."""
    raw = seconds["raw"]
    raw_rate = plan.num_tokens / statistics.median(raw)
    limit = bandwidth / plan.path.stat().st_size
    figures = {
        f"{plan.name}.raw": figure([plan.num_tokens / s for s in raw], "tok/s", peer=limit),
        f"{plan.name}.raw_to_limit": figure([raw_rate / limit], "ratio"),
    }
    for name, values in seconds.items():
        if name == "raw":
            continue
        key = f"{plan.name}.{name}"
        goal = plan.engine_goal if name == "engine_greedy" else None
        figures[key] = figure([plan.num_tokens / s for s in values], "tok/s", peer=raw_rate)
        figures[f"{key}_to_raw"] = figure(
            [r / s for r, s in zip(raw, values, strict=True)], "ratio", goal=goal
        )
        figures[f"{key}_overhead"] = figure(
            [(s - r) / plan.num_tokens * 1e3 for r, s in zip(raw, values, strict=True)],
            "ms/token",
        )
    return figures


def raw_loop(backend: Backend, num_tokens: int) -> float:
    """Seconds for `num_tokens` calls of llama_decode after the prompt, and nothing else."""
    assert isinstance(backend, LlamaCppBackend)
    lib, context = backend.raw
    batch = TokenBatch(lib, PROMPT_TOKENS)
    batch.fill([BatchItem(0, 0, [1] * PROMPT_TOKENS, 1)])
    assert lib.llama_decode(context, batch.struct) == 0
    lib.llama_synchronize(context)
    started = time.perf_counter()
    for index in range(num_tokens):
        batch.fill([BatchItem(0, PROMPT_TOKENS + index, (1,), 1)])
        lib.llama_decode(context, batch.struct)
        lib.llama_get_logits(context)
    elapsed = time.perf_counter() - started
    backend.free(0)
    return elapsed


def engine_loop(engine: Engine, params: SamplingParams, num_tokens: int) -> float:
    """Seconds for the tokens after the first, at the same depth as the raw loop."""
    bias = dict.fromkeys(engine.backend.tokenizer.eog_ids, -100.0)
    request = EngineRequest(
        (1,) * PROMPT_TOKENS,
        SamplingParams(
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
            min_p=params.min_p,
            seed=params.seed,
            max_tokens=num_tokens + 1,
            logit_bias=bias,
        ),
    )
    engine.add_request(request)
    engine.step()
    started = time.perf_counter()
    while engine.has_work:
        engine.step()
    return time.perf_counter() - started


def runtime_loop(llm: EdgeLLM, num_tokens: int) -> float:
    """Seconds for the tokens after the first, from the record of a streamed answer.

    The record, because text may be held back: a tool call is shown when it is whole.
    """
    *_, last = llm.stream(
        "word " * (PROMPT_TOKENS // 2),
        max_tokens=num_tokens + 1,
        temperature=0.0,
        logit_bias=dict.fromkeys(end_tokens(llm), -100.0),
    )
    assert last.answer is not None
    assert last.answer.timings.tpot_s is not None
    return last.answer.timings.tpot_s * num_tokens


def end_tokens(llm: EdgeLLM) -> frozenset[int]:
    """Token ids that would end the answer early."""
    model = llm._async._model
    assert model is not None
    return model.facts.eog_ids


if __name__ == "__main__":
    main()
