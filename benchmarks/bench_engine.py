"""What the engine saves and bounds: prefixes found again, silences, cancellations, leaks.

Everything is measured in one process on a random 0.5B (Q4_0 layers), the leak test on the built-in
model. The reference of each ratio is measured in the same run:

    shared prefix      first token after a prefix of 1,000 tokens, from RAM and, in a new engine,
                       from disk, against computing it
    gap                time between two tokens of a speaking sequence while a prompt of 2,000 tokens
                       arrives, against its gap alone; and that prompt's rate against its rate alone
    cancel             from `abort` to an engine without work, while decoding and in a long prefill
    leaks              10,000 short mixed requests: growth of the process, cells and ids left over

`--quick` uses shorter prompts and 500 requests.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.random_model import QWEN2_0_5B, cached_model
from benchmarks.report import Figure, figure, report
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend
from edge_llm.config import EdgeConfig
from edge_llm.device.cpu import usable_cpus
from edge_llm.engine.engine import Engine
from edge_llm.engine.loop import EngineLoop
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.engine.snapshots import SnapshotStore
from edge_llm.hub.resolve import BUILTIN_FILE, models_folder
from edge_llm.types import SamplingParams

END_TOKEN = QWEN2_0_5B.vocab - 1
ONE = SamplingParams(temperature=0.0, max_tokens=1)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    prefix: int
    prompt: int
    requests: int
    repeats: int


FULL = Sizes(prefix=1000, prompt=2000, requests=10_000, repeats=3)
QUICK = Sizes(prefix=250, prompt=300, requests=500, repeats=1)


def main() -> None:
    """Measure, then print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--threads", type=int, default=usable_cpus())
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    config = EdgeConfig(context_size=4096, threads=arguments.threads, max_num_seqs=4)
    backend = load_backend(cached_model("qwen2-0.5b-q4_0", QWEN2_0_5B), config)
    figures: dict[str, Figure] = {}
    for measure in (shared_prefix, gaps):
        print(measure.__name__, file=sys.stderr)
        figures |= measure(backend, sizes)
    print("cancel", file=sys.stderr)
    figures |= cancel(backend, sizes)
    print("leaks", file=sys.stderr)
    figures |= leaks(sizes)
    report("engine", figures, ["llama-cpp-python", "numpy"])


def tokens(seed: int, count: int) -> tuple[int, ...]:
    """Arbitrary token ids without the end of turn."""
    return tuple(np.random.default_rng(seed).integers(300, 150_000, count).tolist())


def first_token_s(engine: Engine, prompt: tuple[int, ...]) -> float:
    """Seconds until the first token of an answer to `prompt`."""
    started = time.perf_counter()
    engine.add_request(EngineRequest(prompt, ONE))
    while engine.has_work:
        engine.step()
    return time.perf_counter() - started


def shared_prefix(backend: Backend, sizes: Sizes) -> dict[str, Figure]:
    """First token with the prefix computed, shared in RAM, and read from disk."""
    cold, ram, disk = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(sizes.repeats):
            prefix = tokens(repeat, sizes.prefix)
            engine = new_engine(backend, Path(folder))
            cold.append(first_token_s(engine, (*prefix, *tokens(100 + repeat, 10))))
            ram.append(first_token_s(engine, (*prefix, *tokens(200 + repeat, 10))))
            engine.add_request(EngineRequest(prefix, ONE, prefill_only=True, pinned=True))
            while engine.has_work:
                engine.step()
            leave(engine)
            restarted = new_engine(backend, Path(folder))
            disk.append(first_token_s(restarted, (*prefix, *tokens(300 + repeat, 10))))
            assert restarted.scheduler.stats.cached_tokens == sizes.prefix
            leave(restarted)
    return {
        "first_token.cold": figure([s * 1e3 for s in cold], "ms"),
        "first_token.ram_to_cold": figure(
            [r / c for r, c in zip(ram, cold, strict=True)], "ratio", goal=1 / 15,
            direction="at_most",
        ),
        "first_token.disk_to_cold": figure(
            [d / c for d, c in zip(disk, cold, strict=True)], "ratio", goal=1 / 8,
            direction="at_most",
        ),
    }  # fmt: skip


def new_engine(backend: Backend, folder: Path) -> Engine:
    """An engine with an empty cache in RAM and the given one on disk."""
    store = SnapshotStore(folder, "bench", max_bytes=10**9, max_daily_write_bytes=10**9)
    return Engine(backend, store)


def leave(engine: Engine) -> None:
    """Give the backend back empty, and everything on disk, for the next engine on it."""
    assert engine.disk is not None
    engine.disk.close()
    for seq_id in range(engine.backend.capabilities.num_seq_ids):
        engine.backend.free(seq_id)


def gaps(backend: Backend, sizes: Sizes) -> dict[str, Figure]:
    """Silences of a speaking sequence and the rate of the prompt that causes them."""
    alone_rate = prompt_rate(backend, sizes)
    ratios, rates = [], []
    alone_gaps: list[float] = []
    for repeat in range(sizes.repeats):
        alone, during, seconds = speak_while_prompt_arrives(backend, sizes, repeat)
        alone_gaps.append(statistics.median(alone))
        ratios.append(float(np.percentile(during, 95)) / statistics.median(alone))
        rates.append(sizes.prompt / seconds / alone_rate)
    return {
        "gap.alone": figure([s * 1e3 for s in alone_gaps], "ms"),
        "gap.p95_to_alone": figure(ratios, "ratio", goal=3.0, direction="at_most"),
        "gap.prompt_rate_to_alone": figure(rates, "ratio", goal=0.5),
        "gap.prompt_rate_alone": figure([alone_rate], "tok/s"),
    }


def prompt_rate(backend: Backend, sizes: Sizes) -> float:
    """Tokens per second of a prompt that has the engine to itself."""
    engine = Engine(backend)
    seconds = first_token_s(engine, tokens(1, sizes.prompt))
    engine.clear_prefix_cache()
    return sizes.prompt / seconds


def speak_while_prompt_arrives(
    backend: Backend, sizes: Sizes, seed: int
) -> tuple[list[float], list[float], float]:
    """Gaps before, gaps during, and the seconds that the prompt took."""
    engine = Engine(backend)
    params = SamplingParams(temperature=0.0, logit_bias={END_TOKEN: -100.0}, max_tokens=1500)
    speaker = engine.add_request(EngineRequest(tokens(seed + 50, 32), params))
    for _ in range(5):
        engine.step()
    alone = [timed_step(engine) for _ in range(30)]
    arrival = engine.add_request(EngineRequest(tokens(seed + 60, sizes.prompt), ONE))
    started = time.perf_counter()
    during: list[float] = []
    arrived = False
    while not arrived:
        step_started = time.perf_counter()
        events = engine.step()
        during.append(time.perf_counter() - step_started)
        arrived = any(event.request_id == arrival and event.is_last for event in events)
    seconds = time.perf_counter() - started
    engine.abort(speaker)
    engine.clear_prefix_cache()
    return alone, during, seconds


def timed_step(engine: Engine) -> float:
    """Seconds of one step."""
    started = time.perf_counter()
    engine.step()
    return time.perf_counter() - started


def cancel(backend: Backend, sizes: Sizes) -> dict[str, Figure]:
    """From `abort` on another thread to the last event, decoding and in a long prefill."""
    loop = EngineLoop(lambda: Engine(backend))
    loop.open()
    params = SamplingParams(temperature=0.0, logit_bias={END_TOKEN: -100.0}, max_tokens=500)
    found: dict[str, list[float]] = {"decoding": [], "prefill": []}
    for repeat in range(sizes.repeats * 2):
        for name, length in (("decoding", 16), ("prefill", sizes.prompt)):
            ended: list[float] = []

            def listen(event: SequenceEvent, ended: list[float] = ended) -> None:
                if event.is_last:
                    ended.append(time.perf_counter())

            request = EngineRequest(tokens(repeat + 400, length), params)
            handle = loop.submit(request, listen)
            time.sleep(0.5)
            started = time.perf_counter()
            loop.abort(handle)
            while not ended:
                time.sleep(0.001)
            found[name].append((ended[0] - started) * 1e3)
    loop.close()
    return {
        f"cancel.{name}": figure(values, "ms", goal=100, direction="at_most")
        for name, values in found.items()
    }


def leaks(sizes: Sizes) -> dict[str, Figure]:
    """Many short requests of all kinds on the built-in model."""
    path = models_folder() / BUILTIN_FILE
    config = EdgeConfig(model=str(path), context_size=512, threads=1, max_num_seqs=8)
    engine = Engine(load_backend(path, config))
    process = psutil.Process()
    serve(engine, sizes.requests // 10, random.Random(0))
    before, threads, files = process.memory_info().rss, process.num_threads(), process.num_fds()
    serve(engine, sizes.requests, random.Random(1))
    engine.scheduler.check_integrity()
    engine.clear_prefix_cache()
    ids = range(engine.backend.capabilities.num_seq_ids)
    left = sum(engine.backend.length(seq_id) for seq_id in ids) + engine.scheduler.num_used_cells
    figures = {
        "leaks.rss_growth": figure(
            [(process.memory_info().rss - before) / 2**20], "MiB", goal=10, direction="at_most"
        ),
        "leaks.cells": figure([left], "cells", goal=0, direction="at_most"),
        "leaks.threads_and_files": figure(
            [process.num_threads() - threads + process.num_fds() - files],
            "count", goal=0, direction="at_most",
        ),
    }  # fmt: skip
    engine.close()
    return figures


def serve(engine: Engine, count: int, rng: random.Random) -> None:
    """Requests of mixed lengths and settings, some of them aborted."""
    prefixes = [tuple(rng.randrange(5, 1000) for _ in range(rng.randint(5, 60))) for _ in range(5)]
    waiting = count
    live: list[int] = []
    while waiting or engine.has_work:
        while waiting and len(live) < 16:
            waiting -= 1
            tail = tuple(rng.randrange(5, 1000) for _ in range(rng.randint(1, 20)))
            params = SamplingParams(
                temperature=rng.choice([0.0, 1.0]), seed=waiting, max_tokens=rng.randint(1, 10),
                stop=rng.choice([(), ("a",)]),
            )  # fmt: skip
            live.append(engine.add_request(EngineRequest(rng.choice(prefixes) + tail, params)))
        if live and rng.random() < 0.02:
            engine.abort(live.pop(rng.randrange(len(live))))
        for event in engine.step():
            if event.is_last and event.request_id in live:
                live.remove(event.request_id)


if __name__ == "__main__":
    main()
