"""A thousand schemas on a model with random weights: ours, and llama-server on the very same.

An answer is valid when the `jsonschema` package says so of the schema as it was sent. Of ours:

    refused   a typed error before anything is generated
    relaxed   the schema says what no mask can keep to, the answer broke it there, and the runtime,
              which checks such answers, makes a typed error of it or asks elsewhere
    cut       longer than `max_tokens`: a typed error too, or an escalation
    invalid   must not be; what ends the process is counted apart

Under `strict` a schema is refused instead of relaxed, so that nothing is left but valid answers.
llama-server says nothing of what it does not keep to, so its invalid answers come with status 200.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.llama_server import LlamaServer, ServerReply, answer_text, schema_request
from benchmarks.report import Figure, figure
from edge_llm.backends import load_backend
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine
from tests.support.schema_campaign import (
    BIAS,
    MAX_TOKENS,
    TEMPERATURES,
    closing_ids,
    run_trials,
)
from tests.support.schema_oracle import faults
from tests.support.schemas import SchemaCase, generate, generate_many

CHUNK = 25
"""Schemas that die together when one ends the process."""

TIMEOUT_S = 30.0
"""What llama-server has for an answer of at most `MAX_TOKENS` tokens."""

NUM_SEQS = 8


def our_validity(model: Path, count: int, temperatures: tuple[float, ...]) -> dict[str, Figure]:
    """Shares of all trials, default and strict, in a process that may die."""
    counts: Counter[str] = Counter()
    strict: Counter[str] = Counter()
    refused: set[str] = set()
    for first in range(0, count, CHUNK):
        size = min(CHUNK, count - first)
        more, more_refused = _in_a_process(model, first, size, temperatures)
        counts += more
        refused |= more_refused
        strict += _in_a_process(model, first, size, (), strict=True)[0]
        print(f"ours {first + size}: {dict(counts)}", file=sys.stderr, flush=True)
    trials = sum(counts.values())
    return {
        "validity.ours": figure([100 * _kept(counts) / max(1, trials)], "% of trials", goal=100),
        **{f"validity.ours.{name}": _share(counts[name], trials) for name in _NAMES},
        "validity.ours.refused_schemas": figure([len(refused)], "schemas"),
        "validity.ours_strict": figure(
            [100 * _kept(strict) / max(1, sum(strict.values()))], "% of schemas", goal=100
        ),
        "validity.ours_strict.refused_schemas": figure([strict["refused"]], "schemas"),
    }


_NAMES = ("valid", "refused", "relaxed", "cut", "invalid", "died")


def _kept(counts: Counter[str]) -> int:
    """Trials that ended as they may: valid, or in a typed error."""
    return sum(counts.values()) - counts["invalid"] - counts["died"]


def _share(part: int, whole: int) -> Figure:
    return figure([100 * part / max(1, whole)], "% of trials")


def _in_a_process(
    model: Path, first: int, count: int, temperatures: tuple[float, ...], *, strict: bool = False
) -> tuple[Counter[str], set[str]]:
    """Verdicts on some schemas and the names of the refused; strict at one temperature each."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(_run, model, first, count, temperatures, strict).result()
        except BrokenProcessPool:
            return Counter({"died": count * max(1, len(temperatures))}), set()


def _run(
    model: Path, first: int, count: int, temperatures: tuple[float, ...], strict: bool
) -> tuple[Counter[str], set[str]]:
    config = EdgeConfig(context_size=4096, threads=1, max_num_seqs=NUM_SEQS, cache_max_mb=0)
    engine = Engine(load_backend(model, config))
    prompt = engine.backend.tokenizer.encode("Answer.")
    asked = [
        (generate(seed), temperature)
        for seed in range(first, first + count)
        for temperature in temperatures or (TEMPERATURES[seed % len(TEMPERATURES)],)
    ]
    trials = list(run_trials(engine, asked, prompt=prompt, strict=strict))
    engine.close()
    for trial in trials:
        if trial.walk.verdict == "invalid":
            print(f"INVALID {trial}", file=sys.stderr, flush=True)
    counts = Counter[str](trial.walk.verdict for trial in trials)
    return counts, {trial.case.name for trial in trials if trial.walk.verdict == "refused"}


def peer_validity(model: Path, count: int, threads: int) -> dict[str, Figure]:
    """llama-server's share, each schema once, temperatures in turn; hangs and crashes counted."""
    counts: Counter[str] = Counter()
    tokenizer = load_backend(model, EdgeConfig(context_size=256, threads=1)).tokenizer
    bias = [[token_id, BIAS] for token_id in closing_ids(tokenizer)]
    started = time.monotonic()
    with LlamaServer(model, threads) as server:
        for seed, case in enumerate(generate_many(count)):
            temperature = TEMPERATURES[seed % len(TEMPERATURES)]
            counts[_ask_peer(server, case, temperature, seed, bias)] += 1
            if seed % CHUNK == CHUNK - 1:
                took = time.monotonic() - started
                print(f"llama-server {seed + 1}, {took:.0f} s: {dict(counts)}", file=sys.stderr)
        counts["crash"] = server.num_crashes
    names = ("valid", "refused", "invalid", "cut", "timeout")
    figures = {f"validity.llama_server.{name}": _share(counts[name], count) for name in names}
    figures["validity.llama_server.refused_schemas"] = figure([counts["refused"]], "schemas")
    figures["validity.llama_server.crashes"] = figure([counts["crash"]], "crashes")
    return figures


def _ask_peer(
    server: LlamaServer, case: SchemaCase, temperature: float, seed: int, bias: list[list[float]]
) -> str:
    options: dict[str, Any] = {
        "temperature": temperature,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
        "seed": seed,
        "max_tokens": MAX_TOKENS,
        "logit_bias": bias,
    }
    asked = [{"role": "user", "content": "Answer."}]
    reply = server.post(
        "/v1/chat/completions", schema_request(asked, case.schema, **options), TIMEOUT_S
    )
    return _verdict(reply, case)


def _verdict(reply: ServerReply, case: SchemaCase) -> str:
    if reply.status == 0:
        return "timeout" if reply.timed_out else "crash"
    if reply.status != 200:
        return "refused"
    text, why = answer_text(reply)
    if why == "length":
        return "cut"
    return "invalid" if faults(case.schema, text) else "valid"
