"""Silences of a speaking sequence while a long prompt arrives, and what bounding them costs."""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from benchmarks.engine_speed import first_token_s, random_prompt
from benchmarks.report import Figure, figure
from edge_llm.backends.base import Backend
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.engine.scheduler import MAX_DECODE_SLOWDOWN
from edge_llm.types import SamplingParams

SLOWDOWNS = (1.5, 2.0, 3.0, 5.0, 10.0)
ONE = SamplingParams(temperature=0.0, max_tokens=1)


def gaps(backend: Backend, length: int, repeats: int) -> dict[str, Figure]:
    """Silences of a speaking sequence and the rate of the prompt that causes them."""
    alone_rate = prompt_rate(backend, length)
    alone_gaps, ratios, rates = [], [], []
    for repeat in range(repeats):
        alone, ratio, seconds = speak_while_prompt_arrives(backend, length, repeat)
        alone_gaps.append(alone)
        ratios.append(ratio)
        rates.append(length / seconds / alone_rate)
    return {
        "gap.alone": figure([s * 1e3 for s in alone_gaps], "ms"),
        "gap.p95_to_alone": figure(ratios, "ratio", goal=3.0, direction="at_most"),
        "gap.prompt_rate_to_alone": figure(rates, "ratio", goal=0.5),
        "gap.prompt_rate_alone": figure([alone_rate], "tok/s"),
    }


def pacing(backend: Backend, length: int, repeats: int) -> dict[str, Figure]:
    """The same for several settings of `max_decode_slowdown`; the prompt's rate alone in turn."""
    ratios: dict[float, list[float]] = {slowdown: [] for slowdown in SLOWDOWNS}
    shares: dict[float, list[float]] = {slowdown: [] for slowdown in SLOWDOWNS}
    for repeat in range(repeats):
        print(f"pacing, round {repeat}", file=sys.stderr)
        for slowdown in SLOWDOWNS:
            alone_rate = prompt_rate(backend, length)
            _, ratio, seconds = speak_while_prompt_arrives(backend, length, repeat, slowdown)
            ratios[slowdown].append(ratio)
            shares[slowdown].append(length / seconds / alone_rate)
    figures = {}
    for slowdown in SLOWDOWNS:
        figures[f"pacing.{slowdown:g}.gap_p95"] = figure(ratios[slowdown], "ratio")
        figures[f"pacing.{slowdown:g}.prompt_rate"] = figure(shares[slowdown], "ratio")
    return figures


def prompt_rate(backend: Backend, length: int) -> float:
    """Tokens per second of a prompt that has the engine to itself."""
    engine = Engine(backend)
    seconds = first_token_s(engine, random_prompt(1, length))
    engine.clear_prefix_cache()
    return length / seconds


def speak_while_prompt_arrives(
    backend: Backend, length: int, seed: int, slowdown: float = MAX_DECODE_SLOWDOWN
) -> tuple[float, float, float]:
    """Median gap alone in seconds, the p95 gap during to it, and the seconds the prompt took."""
    engine = Engine(backend, max_decode_slowdown=slowdown)
    bias = dict.fromkeys(backend.tokenizer.eog_ids, -100.0)
    params = SamplingParams(temperature=0.0, logit_bias=bias, max_tokens=1500)
    speaker = engine.add_request(EngineRequest(random_prompt(seed + 50, 32), params))
    for _ in range(5):
        engine.step()
    alone = statistics.median(_timed_step(engine) for _ in range(30))
    arrival = engine.add_request(EngineRequest(random_prompt(seed + 60, length), ONE))
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
    return alone, float(np.percentile(during, 95)) / alone, seconds


def _timed_step(engine: Engine) -> float:
    started = time.perf_counter()
    engine.step()
    return time.perf_counter() - started
