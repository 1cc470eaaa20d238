"""What a constraint costs beside the model: compiling it, and a mask for every token.

In CPU time, so that other programs hardly disturb; nothing else runs in the process. A mask is
timed with the choice under it: computing it, hiding what it forbids, taking the best of the rest.
"""

from __future__ import annotations

import contextlib
import json
import random
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Figure, figure
from benchmarks.tools_asked import AREAS, NAMES, call_grammar
from edge_llm.backends import load_backend
from edge_llm.config import EdgeConfig
from edge_llm.constrain.compile import CompiledGrammar, GrammarCompiler
from edge_llm.constrain.grammar import JsonSchema
from edge_llm.engine.logits import LogitRow, Workspace
from edge_llm.engine.sampler import Sampler
from edge_llm.errors import GrammarError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.tokenizer import Tokenizer
from edge_llm.types import SamplingParams
from tests.support.schema_hostile import HOSTILE
from tests.support.schema_walk import Walker
from tests.support.schemas import generate_many

MAX_STEPS = 60
"""Tokens of each answer that are timed."""

HOSTILE_GOAL_S = 5.0
"""CPU seconds after which a refusal would not be one."""


def compile_times(tokenizer: Tokenizer, count: int) -> dict[str, Figure]:
    """Milliseconds until a schema can be used the first time, or is refused; caches are empty."""
    compiler = GrammarCompiler(tokenizer)
    started = time.process_time()
    compiler.compile(JsonSchema({"type": "null"}))
    vocabulary_s = time.process_time() - started
    taken = [
        _cpu_ms(lambda schema=case.schema: _compile(compiler, schema))  # type: ignore[misc]
        for case in generate_many(count)
    ]
    ordered = sorted(taken)
    return {
        "compile.vocabulary": figure([vocabulary_s], "s"),
        "compile.median": figure([statistics.median(ordered)], "ms", goal=10, direction="at_most"),
        "compile.p99": figure([ordered[int(0.99 * len(ordered))]], "ms"),
        "compile.worst": figure([ordered[-1]], "ms"),
    }


def _compile(compiler: GrammarCompiler, schema: object) -> CompiledGrammar | None:
    try:
        return compiler.compile(JsonSchema(schema))  # type: ignore[arg-type]
    except GrammarError:
        return None


def _cpu_ms(what: Callable[[], object]) -> float:
    started = time.process_time()
    what()
    return 1000 * (time.process_time() - started)


@dataclass(frozen=True, slots=True)
class Hostile:
    """What one hostile schema cost."""

    cpu_s: float
    memory_mb: float
    """Growth of the largest resident set."""


def hostile_costs() -> dict[str, Figure]:
    """The worst of the hostile set, in a process beside this one; what kills it is counted."""
    costs: list[Hostile] = []
    deaths = 0
    waiting = list(HOSTILE)
    while waiting:
        # Spawned: a fork would inherit what the library keeps of this process's threads.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            try:
                while waiting:
                    costs.append(pool.submit(_meet, waiting.pop()).result())
            except BrokenProcessPool:
                deaths += 1
    worst_s = max(cost.cpu_s for cost in costs)
    return {
        "hostile.worst": figure([worst_s], "s", goal=HOSTILE_GOAL_S, direction="at_most"),
        "hostile.memory": figure([max(cost.memory_mb for cost in costs)], "MB"),
        "hostile.deaths": figure([deaths], "processes", goal=0, direction="at_most"),
    }


def _meet(name: str) -> Hostile:
    """Compile it and write a few tokens."""
    walker = _walker()
    text = HOSTILE[name]()
    before_mb = _peak_mb(reset=True)
    started = time.process_time()
    # What would take longer than anybody waits is ended by the kernel, and counted as a death.
    resource.setrlimit(resource.RLIMIT_CPU, (int(started) + 60, resource.RLIM_INFINITY))
    with contextlib.suppress(ValueError, RecursionError, GrammarError):
        compiled = walker.compiler.compile(JsonSchema(json.loads(text)))
        walker.draw(compiled, random.Random(0), 50)
    return Hostile(time.process_time() - started, _peak_mb() - before_mb)


@cache
def _walker() -> Walker:
    walker = Walker(ByteTokenizer())
    walker.compiler.compile(JsonSchema({"type": "null"}))
    return walker


def _peak_mb(*, reset: bool = False) -> float:
    """The largest resident set since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def mask_times(tokenizer: Tokenizer, count: int) -> dict[str, Figure]:
    """Milliseconds a token for a mask and the greedy choice under it."""
    compiler = GrammarCompiler(tokenizer)
    call = compiler.compile(call_grammar())
    rows = _rows(tokenizer.vocab_size)
    calls = [ms for seed in range(20) for ms in _walk_ms(call, tokenizer, rows, seed)]
    generated: list[float] = []
    for seed, case in enumerate(generate_many(count)):
        compiled = _compile(compiler, case.schema)
        if compiled is not None:
            with contextlib.suppress(GrammarError):
                generated += _walk_ms(compiled, tokenizer, rows, seed)
    generated.sort()
    goal = 0.25 if tokenizer.vocab_size > 100_000 else None
    size = f"{tokenizer.vocab_size // 1000}k"
    return {
        f"mask.{size}.call": _mean_ms(calls, goal),
        f"mask.{size}.generated": _mean_ms(generated, goal),
        f"mask.{size}.generated.median": figure([statistics.median(generated)], "ms/token"),
        f"mask.{size}.generated.p99": figure([generated[int(0.99 * len(generated))]], "ms/token"),
        f"mask.{size}.generated.worst": figure([generated[-1]], "ms/token"),
    }


def forced_share(tokenizer: Tokenizer, count: int = 100) -> dict[str, Figure]:
    """Share of forced tokens in calls of a home, each drawn and spelled as the tokenizer would."""
    compiled = GrammarCompiler(tokenizer).compile(call_grammar())
    rng = random.Random(0)
    shares = []
    for _ in range(count):
        call = {
            "name": rng.choice(NAMES),
            "area": rng.choice(AREAS),
            "brightness": rng.randint(0, 100),
            "minutes": rng.randint(1, 1440),
        }
        text = json.dumps(call, separators=(",", ":")).encode()
        num_forced, num_tokens = _replay(compiled, tokenizer, text)
        shares.append(100 * num_forced / num_tokens)
    return {"home_command.forced_tokens": figure([statistics.fmean(shares)], "%", goal=50)}


def _replay(compiled: CompiledGrammar, tokenizer: Tokenizer, text: bytes) -> tuple[int, int]:
    """Forced tokens and all tokens of an answer that is known beforehand."""
    matcher, num_forced, num_tokens = compiled.start(), 0, 0
    while text:
        forced = [one for one in matcher.forced() if one not in tokenizer.eog_ids]
        chosen = forced or tokenizer.encode_inner(text.decode())[:1]
        for token_id in chosen:
            assert matcher.accept(token_id), f"{token_id} before {text!r}"
            text = text.removeprefix(tokenizer.token_bytes(token_id))
        num_forced += len(forced)
        num_tokens += len(chosen)
    return num_forced, num_tokens


def _mean_ms(values: list[float], goal: float | None) -> Figure:
    return figure([statistics.fmean(values)], "ms/token", goal=goal, direction="at_most")


def _rows(vocab_size: int) -> Iterator[NDArray[np.float32]]:
    """Logits with a heavy tail, another row each time."""
    rng = np.random.default_rng(0)
    made = (rng.standard_normal((8, vocab_size)) ** 3).astype(np.float32)
    while True:
        yield from made


def _walk_ms(
    compiled: CompiledGrammar,
    tokenizer: Tokenizer,
    rows: Iterator[NDArray[np.float32]],
    seed: int,
) -> list[float]:
    """Milliseconds of each token of an answer that is not forced."""
    matcher = compiled.start()
    sampler = Sampler(SamplingParams(temperature=0.0), ())
    workspace = Workspace()
    rng = random.Random(seed)
    taken: list[float] = []
    for _ in range(MAX_STEPS):
        for token_id in matcher.forced():
            matcher.accept(token_id)
        if matcher.is_complete:
            break
        row = next(rows)
        started = time.thread_time()
        mask = matcher.allowed()
        token_id = sampler.sample(LogitRow(row, workspace), mask)
        taken.append(1000 * (time.thread_time() - started))
        # Every other token by lot: the best of the same few rows would always be the same.
        if rng.random() < 0.5:
            token_id = int(rng.choice(mask.ids))
        if token_id in tokenizer.eog_ids:
            break
        matcher.accept(token_id)
    return taken


def load_tokenizer(model: Path) -> Tokenizer:
    """The vocabulary of a model, which must stay as small as it is."""
    return load_backend(model, EdgeConfig(context_size=256, threads=1)).tokenizer
