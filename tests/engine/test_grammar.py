"""Answers under a grammar: valid or a typed error, whatever the model says and whoever leaves."""

import json
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_llm.backends.fake import FakeBackend, Script, fake_capabilities, hashed_script
from edge_llm.constrain.grammar import (
    Choice,
    Concat,
    Grammar,
    JsonObject,
    JsonSchema,
    Lark,
    Marker,
    Regex,
    Trigger,
    Triggered,
    Until,
)
from edge_llm.constrain.matcher import Matcher
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import GrammarError, GrammarTooLargeError, RequestAbortedError
from edge_llm.hub.packaged import models_folder
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.hf_tokenizer import HFTokenizer, TokenizerHints
from edge_llm.prompt.thinking import ThinkingBudget
from edge_llm.prompt.tokenizer import Tokenizer
from edge_llm.types import SamplingParams, TokenStatistics

TOKENIZER = ByteTokenizer()
IDS = {token.text: token.id for token in TOKENIZER.special_tokens}
PROMPT = tuple(b"Turn on the light.")
HINTS = TokenizerHints(eos_token="<|im_end|>")

LAMP = {
    "type": "object",
    "properties": {
        "name": {"enum": ["turn_on", "turn_off"]},
        "level": {"type": "integer", "minimum": 0, "maximum": 100},
    },
    "required": ["name", "level"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["left"],
            "additionalProperties": False,
        }
    },
}


def is_lamp(text: str) -> bool:
    value = json.loads(text)
    known = value["name"] in ("turn_on", "turn_off") and 0 <= value["level"] <= 100
    return known and text == json.dumps(value, separators=(",", ":"))


def is_tree(text: str) -> bool:
    value = json.loads(text)
    while value is not None:
        assert value.keys() == {"left"}
        value = value["left"]
    return True


def is_call(text: str) -> bool:
    calls = re.findall("<tool_call>(.*?)</tool_call>", text, re.DOTALL)
    return len(calls) == text.count("<tool_call>") and all(map(is_lamp, calls))


CALL = Trigger(Marker("<tool_call>"), Concat((JsonSchema(LAMP), Marker("</tool_call>"))))

CASES: dict[str, tuple[Grammar, Callable[[str], Any]]] = {
    "schema": (JsonSchema(LAMP), is_lamp),
    "recursion": (JsonSchema(TREE), is_tree),
    "json": (JsonObject(), lambda text: isinstance(json.loads(text), dict)),
    "strings": (
        JsonSchema({"type": "array", "items": {"type": "string"}}),
        lambda text: all(isinstance(one, str) for one in json.loads(text)),
    ),
    "regex": (Regex("[a-c]{2,5}-[0-9]+"), re.compile("[a-c]{2,5}-[0-9]+").fullmatch),
    "choice": (Choice(("on", "off", "offline")), lambda text: text in ("on", "off", "offline")),
    "one choice": (Choice(("all of it",)), lambda text: text == "all of it"),
    "lark": (Lark('start: "[" (N ("," N)*)? "]"\nN: /[0-9]/'), re.compile(r"\[[0-9,]*\]").match),
    "call": (Triggered((CALL,), at_least=1, at_most=1, ends_after=True), is_call),
    "speech": (Triggered((CALL,)), is_call),
    "no call": (Triggered((CALL,), at_most=0), lambda text: "<tool_call>" not in text),
    "thoughts": (
        Concat((Until(Marker("</think>")), JsonSchema(LAMP))),
        lambda text: is_lamp(text.rpartition("</think>")[2]),
    ),
}


@dataclass
class Outcome:
    token_ids: tuple[int, ...] = ()
    text: str = ""
    statistics: tuple[TokenStatistics | None, ...] = ()
    last: SequenceEvent | None = None


def request(grammar: Grammar, **changes: Any) -> EngineRequest:
    params = SamplingParams(temperature=0.0, max_tokens=60, **changes)
    return EngineRequest(
        PROMPT, params, grammar=grammar, visible_tokens=frozenset(IDS.values()), statistics=2
    )


def run(engine: Engine, *requests: EngineRequest) -> list[Outcome]:
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    ids = [engine.add_request(one) for one in requests]
    while engine.has_work:
        tell(outcomes, engine.step())
    return [outcomes[one] for one in ids]


def tell(outcomes: dict[int, Outcome], events: Sequence[SequenceEvent]) -> None:
    for event in events:
        outcome = outcomes[event.request_id]
        assert outcome.last is None
        outcome.token_ids += event.token_ids
        outcome.text += event.text
        outcome.statistics += event.statistics
        outcome.last = event if event.is_last else None


def wants(text: str) -> Script:
    """Logits of a model that would write this text, token by token, and end."""

    def script(tokens: Sequence[int]) -> NDArray[np.float32]:
        logits = np.zeros(TOKENIZER.vocab_size, np.float32)
        position = len(tokens) - len(PROMPT)
        logits[text.encode()[position] if position < len(text) else min(TOKENIZER.eog_ids)] = 20
        return logits

    return script


def flat(tokens: Sequence[int]) -> NDArray[np.float32]:
    return np.zeros(TOKENIZER.vocab_size, np.float32)


def stubborn(tokens: Sequence[int]) -> NDArray[np.float32]:
    """One token possible at all, and never the right one."""
    logits = np.full(TOKENIZER.vocab_size, -np.inf, np.float32)
    logits[255] = 0.0
    return logits


SCRIPTS: dict[str, Script] = {
    "random": hashed_script(TOKENIZER.vocab_size),
    "flat": flat,
    "stubborn": stubborn,
    "chatty": wants("Sure! I would love to help you with that, as a language model."),
    "at the end": lambda tokens: np.arange(TOKENIZER.vocab_size, dtype=np.float32) * 10,
}


@settings(max_examples=150)
@given(
    names=st.lists(st.sampled_from(sorted(CASES)), min_size=1, max_size=4),
    script=st.sampled_from(sorted(SCRIPTS)),
    temperature=st.sampled_from([0.0, 0.7, 2.0]),
    top_p=st.sampled_from([1.0, 0.5]),
    top_k=st.sampled_from([0, 3]),
    seed=st.integers(0, 1000),
    gives_up_after=st.none() | st.integers(0, 30),
    parks_after=st.none() | st.integers(0, 10),
    can_truncate=st.booleans(),
)
def test_an_answer_is_valid_or_says_that_it_is_not(
    names: list[str],
    script: str,
    temperature: float,
    top_p: float,
    top_k: int,
    seed: int,
    gives_up_after: int | None,
    parks_after: int | None,
    can_truncate: bool,
) -> None:
    capabilities = fake_capabilities(can_truncate=can_truncate, num_kv_cells=256)
    engine = Engine(FakeBackend(SCRIPTS[script], capabilities=capabilities))
    outcomes: dict[int, Outcome] = defaultdict(Outcome)
    params = SamplingParams(
        temperature=temperature, top_p=top_p, top_k=top_k, seed=seed, max_tokens=60
    )
    ids = {engine.add_request(replace(request(CASES[n][0]), params=params)): n for n in names}
    for step in range(1000):
        if not engine.has_work:
            break
        if step == parks_after:
            engine.park(next(iter(ids)))
            engine.resume(next(iter(ids)))
        if step == gives_up_after and (event := engine.abort(next(iter(ids)))) is not None:
            tell(outcomes, [event])
        tell(outcomes, engine.step())
        engine.scheduler.check_integrity()

    assert not engine.has_work
    for request_id, name in ids.items():
        check(outcomes[request_id], *CASES[name])
    engine.clear_prefix_cache()
    assert engine.scheduler.num_used_cells == 0


def check(outcome: Outcome, grammar: Grammar, is_valid: Callable[[str], Any]) -> None:
    last = outcome.last
    assert last is not None
    assert len(outcome.statistics) == len(outcome.token_ids)
    if last.error is not None:
        assert isinstance(last.error, RequestAbortedError | GrammarTooLargeError)
        return
    if last.finish_reason == "stop":
        assert last.fits_grammar is True
        assert is_valid(outcome.text)
    else:
        assert last.fits_grammar is False
        assert len(outcome.token_ids) == 60


def test_what_is_forced_costs_no_forward_of_its_own() -> None:
    backend = FakeBackend(wants('{"name":"turn_on","level":7}'))

    (outcome,) = run(Engine(backend), request(JsonSchema(LAMP)))

    assert outcome.text == '{"name":"turn_on","level":7}'
    sampled = [one for one in outcome.statistics if one is not None]
    # "n" or "f" of the name, the digit, and the brace that says there is no second digit.
    assert len(sampled) == 3
    assert backend.num_forwards == 3


def test_an_answer_that_is_forced_as_a_whole_needs_no_model() -> None:
    backend = FakeBackend()

    (outcome,) = run(Engine(backend), request(Choice(("yes",))))

    assert outcome.text == "yes"
    assert outcome.last is not None
    assert (outcome.last.finish_reason, outcome.last.fits_grammar) == ("stop", True)
    assert backend.num_forwards == 0


def test_a_complete_answer_ends_without_asking_for_an_end() -> None:
    (outcome,) = run(Engine(FakeBackend(wants("on and on"))), request(Choice(("on", "of"))))

    assert outcome.text == "on"
    assert not TOKENIZER.eog_ids & set(outcome.token_ids)


def test_the_end_of_an_answer_that_could_go_on_is_the_models_choice() -> None:
    (short,) = run(Engine(FakeBackend(wants("off"))), request(Choice(("off", "offline"))))
    (long,) = run(Engine(FakeBackend(wants("offline"))), request(Choice(("off", "offline"))))

    assert (short.text, long.text) == ("off", "offline")


def test_an_answer_cut_by_its_length_says_that_it_does_not_fit() -> None:
    wanted = request(JsonSchema(LAMP))
    wanted = replace(wanted, params=replace(wanted.params, max_tokens=9))

    (outcome,) = run(Engine(FakeBackend()), wanted)

    assert outcome.last is not None
    assert (outcome.last.finish_reason, outcome.last.fits_grammar) == ("length", False)
    assert len(outcome.token_ids) == 9


def test_an_answer_complete_with_its_last_token_is_not_cut() -> None:
    wanted = request(Choice(("yes", "yet")))
    wanted = replace(wanted, params=replace(wanted.params, max_tokens=3))

    (outcome,) = run(Engine(FakeBackend()), wanted)

    assert outcome.last is not None
    assert (outcome.last.finish_reason, outcome.last.fits_grammar) == ("stop", True)


def test_a_stop_string_inside_a_constrained_answer_says_that_it_does_not_fit() -> None:
    (outcome,) = run(Engine(FakeBackend()), request(JsonSchema(LAMP), stop=("level",)))

    assert outcome.last is not None
    assert (outcome.last.finish_reason, outcome.last.fits_grammar) == ("stop", False)
    assert "level" not in outcome.text


def test_logit_bias_moves_only_what_the_grammar_allows() -> None:
    bias = {ord("f"): 100.0, ord("z"): 100.0}

    (outcome,) = run(Engine(FakeBackend(flat)), request(JsonSchema(LAMP), logit_bias=bias))

    assert outcome.text.startswith('{"name":"turn_off"')


def test_the_mass_that_the_mask_takes_away_is_what_the_model_gave_it() -> None:
    logits = np.full(TOKENIZER.vocab_size, -np.inf, np.float32)
    logits[[ord("x"), ord("a")]] = np.log([0.75, 0.25])

    (outcome,) = run(Engine(FakeBackend(lambda tokens: logits)), request(Choice(("a", "b"))))

    (only,) = outcome.statistics
    assert only is not None
    assert only.masked_mass == pytest.approx(0.75)
    assert only.logprob == pytest.approx(np.log(0.25))
    assert only.rank == 1


def test_an_unconstrained_answer_has_no_masked_mass() -> None:
    wanted = replace(request(JsonObject()), grammar=None)

    (outcome,) = run(Engine(FakeBackend(wants("ok"))), wanted)

    assert [one and one.masked_mass for one in outcome.statistics] == [0.0, 0.0, 0.0]
    assert outcome.last is not None
    assert outcome.last.fits_grammar is None


def test_a_grammar_that_is_none_is_refused_before_anything_runs() -> None:
    engine = Engine(FakeBackend())

    with pytest.raises(GrammarError):
        engine.add_request(request(Regex("(")))

    assert not engine.has_work


def test_several_answers_to_one_prompt_each_follow_their_own_way() -> None:
    requests = [
        replace(request(JsonSchema(LAMP)), params=SamplingParams(1.5, seed=n, max_tokens=60))
        for n in range(6)
    ]

    alone = [run(Engine(FakeBackend()), one)[0].text for one in requests]
    together = [one.text for one in run(Engine(FakeBackend()), *requests)]

    assert together == alone
    assert len(set(together)) > 1


def test_a_prompt_whose_answer_opens_by_force_is_shared_with_others() -> None:
    engine = Engine(FakeBackend())
    prompt = tuple(range(32, 100))
    first, second = (replace(request(JsonSchema(LAMP)), token_ids=prompt) for _ in range(2))
    engine.add_request(first)
    engine.step()

    outcomes = run(engine, second)

    assert outcomes[0].last is not None
    assert outcomes[0].last.num_cached_tokens == len(prompt)


def test_a_thinking_budget_ends_thoughts_and_the_grammar_takes_over() -> None:
    grammar = Concat((Until(Marker("</think>")), JsonSchema(LAMP)))
    closing = (*b"\nenough", IDS["</think>"])
    budget = ThinkingBudget(max_tokens=5, closing_ids=closing, starts_in_thinking=True)

    (outcome,) = run(
        Engine(FakeBackend(wants("hm " * 30))), replace(request(grammar), constraint=budget)
    )

    thoughts, _, answer = outcome.text.partition("</think>")
    assert thoughts == "hm hm\nenough"
    assert is_lamp(answer)


def test_what_a_constraint_would_force_against_the_grammar_is_left_out() -> None:
    budget = ThinkingBudget(max_tokens=1, closing_ids=tuple(b"no"), starts_in_thinking=True)

    (outcome,) = run(Engine(FakeBackend()), replace(request(JsonSchema(LAMP)), constraint=budget))

    assert is_lamp(outcome.text)


def test_giving_up_before_the_first_step_tells_nothing_but_that() -> None:
    engine = Engine(FakeBackend())
    request_id = engine.add_request(request(JsonSchema(LAMP)))

    event = engine.abort(request_id)

    assert event is not None
    assert isinstance(event.error, RequestAbortedError)
    assert not engine.has_work


@pytest.fixture(scope="module")
def builtin() -> Tokenizer:
    return HFTokenizer(models_folder() / "builtin" / "onnx" / "tokenizer.json", HINTS)


def by_bytes(tokenizer: Tokenizer, seed: int) -> Script:
    """Logits that depend on the bytes written so far, and not on how they were cut into tokens."""
    pieces = tokenizer.all_token_bytes()
    own = np.random.default_rng(seed).standard_normal(len(pieces)).astype(np.float32) * 3

    def script(tokens: Sequence[int]) -> NDArray[np.float32]:
        written = b"".join(pieces[token_id] for token_id in tokens)
        return np.roll(own, zlib.crc32(written) % len(own))

    return script


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", sorted(CASES))
def test_forced_tokens_one_at_a_time_are_the_same_as_together(
    name: str, seed: int, builtin: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Greedy, so that the random numbers, of which forced tokens take none, make no difference.
    wanted = replace(request(CASES[name][0]), visible_tokens=frozenset())
    script = by_bytes(builtin, seed)
    together_engine = Engine(FakeBackend(script, tokenizer=builtin))
    one_by_one_engine = Engine(FakeBackend(script, tokenizer=builtin))
    (together,) = run(together_engine, wanted)

    monkeypatch.setattr(Matcher, "forced", lambda self: ())
    (one_by_one,) = run(one_by_one_engine, wanted)

    assert one_by_one.text == together.text
    ends = builtin.eog_ids
    assert [i for i in one_by_one.token_ids if i not in ends] == [
        i for i in together.token_ids if i not in ends
    ]


class Spaced(ByteTokenizer):
    """Writes a space before every text, as SentencePiece does."""

    def __init__(self) -> None:
        super().__init__()
        self.adds_space_prefix = True


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        (None, "hello"),
        (Triggered((CALL,)), "hello"),
        (Concat((Until(Marker("</think>")), JsonSchema(LAMP))), "hello"),
        (Regex(" hell.*"), " hello"),
        (Choice((" hello",)), " hello"),
    ],
)
def test_a_space_that_the_tokenizer_adds_is_no_part_of_an_answer_unless_its_grammar_says_so(
    grammar: Grammar | None, text: str
) -> None:
    engine = Engine(FakeBackend(wants(" hello"), tokenizer=Spaced()))

    (outcome,) = run(engine, replace(request(JsonObject(), stop=("o",)), grammar=grammar))

    assert outcome.text == text.removesuffix("o")


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(CASES)),
    script=st.sampled_from(sorted(SCRIPTS)),
    max_tokens=st.integers(1, 60),
)
def test_a_forced_run_taken_at_once_is_what_its_tokens_are_one_by_one(
    name: str, script: str, max_tokens: int
) -> None:
    engine = Engine(FakeBackend(SCRIPTS[script]))
    at_once = request(CASES[name][0])
    at_once = replace(at_once, params=replace(at_once.params, max_tokens=max_tokens))
    # What could end the answer in the middle of a run has every token looked at.
    one_by_one = replace(at_once, params=replace(at_once.params, stop=("\0 never \0",)))

    left, right = (run(engine, one)[0] for one in (at_once, one_by_one))

    assert (left.token_ids, left.text) == (right.token_ids, right.text)
    assert left.last is not None
    assert right.last is not None
    assert left.last.finish_reason == right.last.finish_reason
    assert left.last.fits_grammar == right.last.fits_grammar
