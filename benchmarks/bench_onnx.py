"""What the loop around an ONNX graph costs, and what it saves.

A token's time is the graph's: what can be lost is around `session.run`, and what can be won is the
batch, the prefix and the snapshot. On a random 0.5B with int4 matrices, all in one process:

    overhead      per decoded token, outside of `session.run`: in the backend alone, and in the
                  whole engine with sampling and statistics
    decode        tokens per second of 1 and of 4 sequences, through the engine
    prefill       prompt tokens per second
    first token   after a shared prefix: from RAM and, in a new engine, from disk, to computing it

The peer is onnxruntime-genai on the same graph with as many threads, where it is installed; its
sequences are decoded by `Generator`, without logits or statistics.

    scripts/bench onnx [--quick] [--threads N] [--storage int4|int8]
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.bench_engine import FULL, QUICK, Sizes, shared_prefix
from benchmarks.random_onnx import QWEN2_0_5B, cached_onnx
from benchmarks.report import Figure, figure, report
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.backends.onnx.graph import DecoderGraph
from edge_llm.config import EdgeConfig
from edge_llm.device.cpu import usable_cpus
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.types import SamplingParams

PROMPT = 64
SMALL = replace(QWEN2_0_5B, layers=4)


def main() -> None:
    """Measure, then print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="4 of 24 layers, within 45 seconds")
    parser.add_argument("--threads", type=int, default=usable_cpus())
    parser.add_argument("--storage", choices=("int4", "int8"), default="int4")
    arguments = parser.parse_args()
    shape = replace(SMALL if arguments.quick else QWEN2_0_5B, storage=arguments.storage)
    path = cached_onnx(f"onnx-{shape.layers}-{shape.storage}", shape)
    peers = measure_peer(path, arguments.threads, arguments.quick)
    config = EdgeConfig(context_size=4096, threads=arguments.threads, max_num_seqs=4)
    backend = load_backend(path, config)
    num_tokens = 16 if arguments.quick else 48
    repeats = 3 if arguments.quick else 5
    figures = overheads(backend, num_tokens)
    for count in (1, 4):
        rates = [decode_rate(backend, count, num_tokens) for _ in range(repeats)]
        figures[f"decode.{count}"] = compared(rates, peers.get(count))
    figures["prefill"] = figure([prefill_rate(backend) for _ in range(repeats)], "tokens/s")
    figures |= shared_prefix(backend, QUICK if arguments.quick else two_repeats())
    figures["memory"] = figure([psutil.Process().memory_info().rss / 2**20], "MiB")
    report("onnx", figures, ["onnxruntime", "onnxruntime-genai", "numpy"])


def two_repeats() -> Sizes:
    """The full prefix, less often: computing it takes most of the time."""
    return replace(FULL, repeats=2)


def compared(rates: list[float], peer: float | None) -> Figure:
    """A rate, held against the peer's where there is one."""
    goal = peer if peer is not None else None
    return figure(rates, "tokens/s", goal=goal, peer=peer)


def prompt(seed: int, length: int = PROMPT) -> list[int]:
    """Arbitrary token ids without the end of turn."""
    ids: list[int] = np.random.default_rng(seed).integers(300, 150_000, length).tolist()
    return ids


def overheads(backend: Backend, num_tokens: int) -> dict[str, Figure]:
    """Milliseconds of a decoded token that are not spent in `session.run`."""
    inside = 0.0
    run = DecoderGraph.run

    def timed(self: DecoderGraph, binding: Any, run_options: Any) -> None:
        nonlocal inside
        started = time.perf_counter()
        run(self, binding, run_options)
        inside += time.perf_counter() - started

    def outside(step: Callable[[], object]) -> float:
        nonlocal inside
        inside = 0.0
        started = time.perf_counter()
        step()
        return (time.perf_counter() - started - inside) * 1e3

    DecoderGraph.run = timed  # type: ignore[method-assign]
    try:
        backend.forward([BatchItem(0, 0, prompt(0), 1)])
        alone = [
            outside(lambda: backend.forward([BatchItem(0, backend.length(0), [500], 1)]))
            for _ in range(num_tokens)
        ]
        backend.free(0)
        engine = speaking(backend, 1)
        whole = [outside(engine.step) for _ in range(num_tokens)]
        finish(engine)
    finally:
        DecoderGraph.run = run  # type: ignore[method-assign]
    return {
        "overhead.backend": figure(alone, "ms", goal=0.2, direction="at_most"),
        "overhead.engine": figure(whole, "ms"),
    }


def speaking(backend: Backend, count: int) -> Engine:
    """An engine whose `count` sequences have said their first token."""
    engine = Engine(backend, max_decode_slowdown=1000.0)
    params = SamplingParams(temperature=0.0, max_tokens=1000, logit_bias={262: -100.0, 263: -100.0})
    for seed in range(count):
        engine.add_request(EngineRequest(tuple(prompt(seed)), params, statistics=5))
    while any(s.is_prefilling for s in engine.scheduler.running) or engine.scheduler.waiting:
        engine.step()
    engine.step()
    return engine


def finish(engine: Engine) -> None:
    """Leave the backend as it was."""
    for request_id in list(engine._sequences):
        engine.abort(request_id)
    engine.clear_prefix_cache()


def decode_rate(backend: Backend, count: int, num_tokens: int) -> float:
    """Tokens per second of all sequences together, with statistics."""
    engine = speaking(backend, count)
    started = time.perf_counter()
    for _ in range(num_tokens):
        engine.step()
    elapsed = time.perf_counter() - started
    finish(engine)
    return count * num_tokens / elapsed


def prefill_rate(backend: Backend) -> float:
    """Prompt tokens per second."""
    length = min(256, backend.capabilities.max_num_batched_tokens)
    started = time.perf_counter()
    backend.forward([BatchItem(0, 0, prompt(7, length), 1)])
    elapsed = time.perf_counter() - started
    backend.free(0)
    return length / elapsed


def measure_peer(path: Path, threads: int, quick: bool) -> dict[int, float]:
    """Tokens per second of onnxruntime-genai for 1 and 4 sequences; empty where it is absent."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        import onnxruntime_genai as genai
    except ImportError:
        print("onnxruntime-genai is not installed: no peer", file=sys.stderr)
        return {}
    config = genai.Config(str(path.parent))
    overlay = {"intra_op_num_threads": threads}
    config.overlay(f'{{"model":{{"decoder":{{"session_options":{_json(overlay)}}}}}}}')
    model = genai.Model(config)
    num_tokens, repeats = (16, 3) if quick else (48, 5)
    rates = {
        count: statistics.median(
            [peer_rate(genai, model, count, num_tokens) for _ in range(repeats)]
        )
        for count in (1, 4)
    }
    del model, config
    gc.collect()
    return rates


def peer_rate(genai: Any, model: Any, count: int, num_tokens: int) -> float:
    """Tokens per second of one generator over `count` sequences of equal length."""
    params = genai.GeneratorParams(model)
    params.set_search_options(max_length=4096, batch_size=count, do_sample=False)
    generator = genai.Generator(model, params)
    generator.append_tokens(np.array([prompt(seed) for seed in range(count)], np.int32))
    for _ in range(2):
        generator.generate_next_token()
    started = time.perf_counter()
    for _ in range(num_tokens):
        generator.generate_next_token()
    return count * num_tokens / (time.perf_counter() - started)


def _json(value: dict[str, int]) -> str:
    return "{" + ",".join(f'"{name}":{number}' for name, number in value.items()) + "}"


if __name__ == "__main__":
    main()
