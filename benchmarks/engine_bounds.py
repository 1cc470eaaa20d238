"""What the engine must not exceed: the time until a cancelled request is gone, and memory."""

from __future__ import annotations

import random
import time

import psutil

from benchmarks.engine_speed import random_prompt
from benchmarks.report import Figure, figure
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine
from edge_llm.engine.loop import EngineLoop
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.hub.packaged import models_folder
from edge_llm.hub.resolve import BUILTIN_FILE
from edge_llm.types import SamplingParams


def cancel(backend: Backend, length: int, repeats: int) -> dict[str, Figure]:
    """From `abort` on another thread to the last event, decoding and in a long prefill."""
    loop = EngineLoop(lambda: Engine(backend))
    loop.open()
    bias = dict.fromkeys(backend.tokenizer.eog_ids, -100.0)
    params = SamplingParams(temperature=0.0, logit_bias=bias, max_tokens=500)
    found: dict[str, list[float]] = {"decoding": [], "prefill": []}
    for repeat in range(repeats * 2):
        for name, num_tokens in (("decoding", 16), ("prefill", length)):
            ended: list[float] = []

            def listen(event: SequenceEvent, ended: list[float] = ended) -> None:
                if event.is_last:
                    ended.append(time.perf_counter())

            request = EngineRequest(random_prompt(repeat + 400, num_tokens), params)
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


def leaks(num_requests: int) -> dict[str, Figure]:
    """Many short requests of all kinds on the built-in model."""
    path = models_folder() / BUILTIN_FILE
    config = EdgeConfig(model=str(path), context_size=512, threads=1, max_num_seqs=8)
    engine = Engine(load_backend(path, config))
    process = psutil.Process()
    serve(engine, num_requests // 10, random.Random(0))
    before, threads, files = process.memory_info().rss, process.num_threads(), process.num_fds()
    serve(engine, num_requests, random.Random(1))
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
