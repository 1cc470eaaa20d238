"""Many schemas through an engine, several at a time, each answer judged by the oracle.

The model's weights are random, so that the mask alone keeps answers to their schemas; a bias
towards what closes strings, objects and arrays lets them come to an end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edge_llm.constrain.grammar import JsonSchema
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import GrammarError
from edge_llm.prompt.tokenizer import Tokenizer
from edge_llm.types import SamplingParams
from tests.support.schema_oracle import faults
from tests.support.schema_walk import CLOSING, Verdict, Walk
from tests.support.schemas import SchemaCase

TEMPERATURES = (0.0, 0.7, 1.0, 1.5, 2.0)
BIAS = 16.0
"""Of 152k tokens with a heavy tail these few then get some 15 % of the probability."""

MAX_TOKENS = 300


@dataclass(frozen=True, slots=True)
class Trial:
    """One schema at one temperature, and what came of it."""

    case: SchemaCase
    temperature: float
    walk: Walk


@dataclass
class _Running:
    case: SchemaCase
    temperature: float
    is_relaxed: bool
    text: str = ""
    event: SequenceEvent | None = field(default=None)


def run_trials(
    engine: Engine,
    asked: Iterable[tuple[SchemaCase, float]],
    *,
    prompt: Sequence[int],
    strict: bool = False,
    bias: float = BIAS,
    max_tokens: int = MAX_TOKENS,
) -> Iterator[Trial]:
    """Each schema at its temperature, in the order in which they end; as many at once as fit.

    Raises:
        EdgeLLMError: the engine failed over an answer, which it never should.
    """
    todo = iter(asked)
    closing = dict.fromkeys(closing_ids(engine.backend.tokenizer), bias)
    running: dict[int, _Running] = {}
    room = engine.backend.capabilities.max_num_seqs
    while True:
        while len(running) < room and (following := next(todo, None)) is not None:
            case, temperature = following
            grammar = JsonSchema(case.schema, strict=strict)
            try:
                relaxed = engine.compiler.compile(grammar).relaxed
                params = _params(case, temperature, closing, max_tokens)
                request = EngineRequest(tuple(prompt), params, grammar=grammar)
                running[engine.add_request(request)] = _Running(case, temperature, bool(relaxed))
            except GrammarError as error:
                yield Trial(case, temperature, Walk("refused", f"{error}"))
        if not running:
            return
        for event in engine.step():
            if event.error is not None:
                raise event.error
            state = running[event.request_id]
            state.text += event.text
            if event.is_last:
                state.event = event
                yield _judge(running.pop(event.request_id))


def at_each(
    cases: Iterable[SchemaCase], temperatures: Sequence[float] = TEMPERATURES
) -> Iterator[tuple[SchemaCase, float]]:
    """Each schema at each temperature."""
    return ((case, temperature) for case in cases for temperature in temperatures)


def count_verdicts(trials: Iterable[Trial]) -> tuple[Counter[Verdict], list[Trial]]:
    """How many of each verdict, and the invalid ones."""
    counts: Counter[Verdict] = Counter()
    invalid = []
    for trial in trials:
        counts[trial.walk.verdict] += 1
        if trial.walk.verdict == "invalid":
            invalid.append(trial)
    return counts, invalid


def _params(
    case: SchemaCase, temperature: float, bias: Mapping[int, float], max_tokens: int
) -> SamplingParams:
    return SamplingParams(
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        seed=sum(case.text.encode()),
        max_tokens=max_tokens,
        logit_bias=bias,
    )


def closing_ids(tokenizer: Tokenizer) -> Sequence[int]:
    """The tokens that close something."""
    ids = range(tokenizer.vocab_size)
    return tuple(one for one in ids if tokenizer.token_bytes(one) in CLOSING)


def _judge(state: _Running) -> Trial:
    assert state.event is not None, "it has ended"
    if state.event.finish_reason == "length":
        assert state.event.fits_grammar is not True, "it was cut, and says that it fits"
        return Trial(state.case, state.temperature, Walk("cut"))
    found = faults(state.case.schema, state.text)
    if not found:
        return Trial(state.case, state.temperature, Walk("valid", state.text))
    detail = f"{state.text[:300]} {found[:3]}"
    verdict: Verdict = "relaxed" if state.is_relaxed else "invalid"
    return Trial(state.case, state.temperature, Walk(verdict, detail))
