"""A tool call end to end against llama-server, and decoding under a mask against free text.

Three ways to compare a call, in turn in each round, on the same file with as many threads:

    as it comes   ours under the JSON schema, llama-server under `response_format: json_schema`; no
                  bias: each writes what its grammar and its model make of it, white space included
    same bytes    both steered to the same call (`tools_asked`), llama-server under a GBNF that is
                  as compact as ours; the answers must be equal
    at free rate  the same, counted as if llama-server's grammar cost nothing: its tokens at the
                  rate of its own free text. What is left is what forced tokens save
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine_speed import GREEDY, NUM_TOP, finish, random_prompt
from benchmarks.llama_server import LlamaServer, ServerReply, answer_text, schema_request
from benchmarks.report import Figure, figure
from benchmarks.tools_asked import (
    CALL_GBNF,
    CALL_SCHEMA,
    STEER,
    TARGET,
    Answered,
    Ours,
    call_grammar,
    greedy,
    messages,
)
from edge_llm.constrain.grammar import Grammar, Regex
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.types import SamplingParams

MAX_TOKENS = 160
FREE_TOKENS = 32
DEPTH, TOKENS = 64, 64

MASKS: dict[str, Grammar] = {
    "wide": Regex('[^"]*"'),
    "letters": Regex('[a-z ]*"'),
    "digits": Regex("[0-9]{2000}"),
}
"""Nearly all tokens allowed, tens of thousands, ten; none ever forced."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Seconds of both sides in one round, and what theirs would take without a grammar's cost."""

    ours_s: float
    theirs_s: float
    theirs_free_s: float
    ours_cpu_s: float
    theirs_cpu_s: float


def call_speed(name: str, model: Path, threads: int, rounds: int, goal: float) -> dict[str, Figure]:
    """Both comparisons of a call on one model; the first round warms up."""
    as_it_comes: list[Pair] = []
    same_bytes: list[Pair] = []
    ours = Ours(model, threads)
    details: dict[str, float] = {}
    with LlamaServer(model, threads) as server:
        for number in range(rounds + 1):
            free_s = _free_token_s(server, 3 * number)
            one, told = _as_it_comes(ours, server, 3 * number + 1, free_s)
            two, more = _same_bytes(ours, server, 3 * number + 2, free_s)
            print(f"{name} round {number}: {one} {two}", file=sys.stderr, flush=True)
            if number:
                as_it_comes.append(one)
                same_bytes.append(two)
                details = told | more
    ours.close()
    prefix = f"{name}.call"
    figures = {
        f"{prefix}.as_it_comes.cpu": _cpu_ratio(as_it_comes),
        f"{prefix}.same_bytes.cpu": _cpu_ratio(same_bytes),
        f"{prefix}.as_it_comes": _ratio(as_it_comes, 3.0 if goal else None),
        f"{prefix}.same_bytes": _ratio(same_bytes, 2.0),
        f"{prefix}.same_bytes_at_free_rate": figure(
            [pair.theirs_free_s / pair.ours_s for pair in same_bytes], "ratio"
        ),
        f"{prefix}.ours": figure([pair.ours_s for pair in as_it_comes], "s"),
        f"{prefix}.llama_server": figure([pair.theirs_s for pair in as_it_comes], "s"),
        f"{prefix}.steered.ours": figure([pair.ours_s for pair in same_bytes], "s"),
        f"{prefix}.steered.llama_server": figure([pair.theirs_s for pair in same_bytes], "s"),
    }
    return figures | {f"{prefix}.{key}": figure([one], "tokens") for key, one in details.items()}


def our_call(name: str, model: Path, threads: int, rounds: int) -> dict[str, Figure]:
    """Our side alone, where there is no peer."""
    ours = Ours(model, threads)
    answers = [ours.ask(messages(i), greedy(MAX_TOKENS), call_grammar()) for i in range(rounds + 1)]
    ours.close()
    assert all(answer.is_whole for answer in answers), answers
    return {
        f"{name}.call.ours": figure([answer.elapsed_s for answer in answers[1:]], "s"),
        f"{name}.call.ours_forced": figure(
            [100 * answer.num_forced / answer.num_tokens for answer in answers], "%"
        ),
    }


def _ratio(pairs: list[Pair], goal: float | None) -> Figure:
    return figure([pair.theirs_s / pair.ours_s for pair in pairs], "ratio", goal=goal)


def _cpu_ratio(pairs: list[Pair]) -> Figure:
    """What says most on a machine that others use too."""
    return figure([pair.theirs_cpu_s / pair.ours_cpu_s for pair in pairs], "ratio")


def _free_token_s(server: LlamaServer, number: int) -> float:
    """Seconds a token of its free text, by its own clock."""
    reply = _chat(server, number, max_tokens=FREE_TOKENS, ignore_eos=True)
    return float(reply.body["timings"]["predicted_per_token_ms"]) / 1000


def _as_it_comes(
    ours: Ours, server: LlamaServer, number: int, free_s: float
) -> tuple[Pair, dict[str, float]]:
    answer = ours.ask(messages(number), greedy(MAX_TOKENS), call_grammar())
    assert answer.is_whole, answer
    body = schema_request(messages(number), dict(CALL_SCHEMA), temperature=0, max_tokens=MAX_TOKENS)
    used_s = server.cpu_s()
    reply = _checked(server.post("/v1/chat/completions", body))
    details = {
        "ours_tokens": answer.num_tokens,
        "ours_forced_tokens": answer.num_forced,
        "llama_server_tokens": reply.body["usage"]["completion_tokens"],
    }
    return _pair(answer, reply, free_s, server.cpu_s() - used_s), details


def _same_bytes(
    ours: Ours, server: LlamaServer, number: int, free_s: float
) -> tuple[Pair, dict[str, float]]:
    bias = ours.steering(TARGET)
    answer = ours.ask(messages(number), greedy(MAX_TOKENS, bias), call_grammar())
    used_s = server.cpu_s()
    reply = _chat(
        server,
        number,
        max_tokens=MAX_TOKENS,
        grammar=CALL_GBNF,
        logit_bias=[[token_id, value] for token_id, value in bias.items()],
    )
    text, _ = answer_text(reply)
    assert answer.text == text, f"steered by {STEER}, ours is {answer.text!r}, theirs {text!r}"
    details = {
        "steered.ours_tokens": answer.num_tokens,
        "steered.ours_forced_tokens": answer.num_forced,
        "steered.llama_server_tokens": reply.body["usage"]["completion_tokens"],
    }
    return _pair(answer, reply, free_s, server.cpu_s() - used_s), details


def _chat(server: LlamaServer, number: int, **options: Any) -> ServerReply:
    body = {"messages": messages(number), "temperature": 0, **options}
    return _checked(server.post("/v1/chat/completions", body))


def _checked(reply: ServerReply) -> ServerReply:
    if reply.status != 200:
        raise RuntimeError(f"llama-server: {reply.status} {reply.body}")
    return reply


def _pair(answer: Answered, reply: ServerReply, free_s: float, cpu_s: float) -> Pair:
    timings = reply.body["timings"]
    saved_s = timings["predicted_ms"] / 1000 - timings["predicted_n"] * free_s
    theirs_free_s = reply.elapsed_s - max(0.0, saved_s)
    return Pair(answer.elapsed_s, reply.elapsed_s, theirs_free_s, answer.cpu_s, cpu_s)


def masked_rate(engine: Engine, rounds: int, *, has_goal: bool) -> dict[str, Figure]:
    """Decoding under masks whose tokens are all sampled, to free text in the same round."""
    rates: dict[str, list[float]] = defaultdict(list)
    cpu: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        prompt = random_prompt(number, DEPTH)
        names = ["free", *MASKS]
        # Every other round backwards, so that nobody always runs in another's wake.
        for name in names if number % 2 else reversed(names):
            rate, cpu_rate = _rates(engine, prompt, MASKS.get(name))
            if number:
                rates[name].append(rate)
                cpu[name].append(cpu_rate)
    figures = {f"decode.{name}": figure(values, "tok/s") for name, values in rates.items()}
    goal = 0.97 if has_goal else None
    for name in MASKS:
        ratios = [one / free for one, free in zip(rates[name], rates["free"], strict=True)]
        figures[f"decode.{name}_to_free"] = figure(ratios, "ratio", goal=goal)
        ratios = [one / free for one, free in zip(cpu[name], cpu["free"], strict=True)]
        figures[f"decode.{name}_to_free.cpu"] = figure(ratios, "ratio")
    return figures


def _rates(engine: Engine, prompt: tuple[int, ...], grammar: Grammar | None) -> tuple[float, float]:
    """Tokens per second after the prompt is computed, by the clock and of CPU time."""
    engine.add_request(EngineRequest(prompt, GREEDY, prefill_only=True))
    finish(engine)
    params = SamplingParams(temperature=0.0, max_tokens=TOKENS + 1)
    engine.add_request(EngineRequest(prompt, params, grammar=grammar, statistics=NUM_TOP))
    engine.step()
    started, cpu_started = time.perf_counter(), time.process_time()
    num_tokens = 0
    for _ in range(TOKENS):
        if not engine.has_work:
            break
        num_tokens += sum(len(event.token_ids) for event in engine.step())
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    finish(engine)
    engine.clear_prefix_cache()
    assert num_tokens == TOKENS, f"{num_tokens} tokens in {TOKENS} steps: forced, or ended early"
    return num_tokens / elapsed_s, num_tokens / cpu_s
