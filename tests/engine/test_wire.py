"""What crosses the process border arrives as it left, or is refused."""

import io
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_llm.errors
from edge_llm.config import EdgeConfig
from edge_llm.constrain.grammar import (
    Choice,
    Concat,
    JsonSchema,
    Marker,
    Repeat,
    Trigger,
    Triggered,
    Until,
)
from edge_llm.engine import wire
from edge_llm.engine.host import HostSettings, ModelFacts
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import (
    BackendError,
    BudgetExceededError,
    CloudTimeoutError,
    ContextLengthExceededError,
    EdgeLLMError,
    InvalidParameterError,
    RunLimitExceededError,
    UnsupportedSchemaError,
)
from edge_llm.hub.memory_estimate import MemoryEstimate
from edge_llm.hub.resolve import ModelLocation
from edge_llm.prompt.encode import EncodedPrompt
from edge_llm.prompt.thinking import ThinkingBudget
from edge_llm.types import SamplingParams, TokenStatistics


def through_pipe(packet: wire.Packet) -> wire.Packet:
    pipe = io.BytesIO()
    wire.write_packet(pipe, packet)
    pipe.seek(0)
    read = wire.read_packet(pipe)
    assert read is not None
    assert wire.read_packet(pipe) is None
    return read


floats = st.floats(allow_nan=False)
statistics = st.builds(
    TokenStatistics,
    token_id=st.integers(0, 1 << 20),
    logprob=floats,
    logsumexp=floats,
    top_ids=st.lists(st.integers(0, 1 << 20), max_size=4).map(tuple),
    top_logprobs=st.lists(floats, max_size=4).map(tuple),
    margin=floats,
    entropy=floats,
    rank=st.integers(0, 1 << 20),
    time_s=floats,
)
events = st.builds(
    SequenceEvent,
    request_id=st.just(7),
    token_ids=st.lists(st.integers(0, 1 << 20), max_size=3).map(tuple),
    text=st.text(),
    finish_reason=st.sampled_from([None, "stop", "length"]),
    num_cached_tokens=st.none() | st.integers(0, 99),
    statistics=st.lists(st.none() | statistics, max_size=3).map(tuple),
    spellings=st.dictionaries(st.integers(0, 1 << 20), st.binary(max_size=5), max_size=3),
)
params = st.builds(
    SamplingParams,
    temperature=st.floats(0, 100),
    seed=st.none() | st.integers(0, 2**64 - 1),
    max_tokens=st.none() | st.integers(1, 99),
    stop=st.lists(st.text(min_size=1), max_size=2).map(tuple),
    logit_bias=st.dictionaries(st.integers(0, 1 << 20), st.floats(-100, 100), max_size=3),
)
budgets = st.builds(
    ThinkingBudget,
    max_tokens=st.integers(1, 99),
    closing_ids=st.lists(st.integers(0, 99)).map(tuple),
    starts_in_thinking=st.booleans(),
)
markers = st.text(min_size=1, max_size=3) | st.builds(Marker, st.text(min_size=1, max_size=3))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
parts: st.SearchStrategy[Any] = st.recursive(
    st.builds(JsonSchema, st.booleans() | st.dictionaries(st.text(max_size=5), values))
    | st.builds(Choice, st.lists(st.text(max_size=3), max_size=3).map(tuple))
    | st.builds(Until, markers),
    lambda inner: (
        st.builds(Concat, st.lists(inner | st.text(max_size=3), max_size=3).map(tuple))
        | st.builds(Repeat, inner, at_most=st.none() | st.integers(1, 3))
        | st.builds(Triggered, st.lists(st.builds(Trigger, markers, inner), max_size=2).map(tuple))
    ),
    max_leaves=4,
)
requests = st.builds(
    EngineRequest,
    token_ids=st.lists(st.integers(0, 1 << 20), max_size=5).map(tuple),
    params=params,
    constraint=st.none() | budgets,
    grammar=st.none() | parts,
    visible_tokens=st.frozensets(st.integers(0, 99)),
    prefill_only=st.booleans(),
    pinned=st.booleans(),
    statistics=st.none() | st.integers(0, 20),
    watched_ids=st.lists(st.integers(0, 1 << 20), max_size=3).map(tuple),
    spells=st.booleans(),
)


@given(events)
def test_an_event_arrives_as_it_left(event: SequenceEvent) -> None:
    arrived = wire.unpack_event(7, through_pipe(wire.pack_event(event)))

    assert arrived == event
    assert [s and s.time_s for s in arrived.statistics] == [
        s and s.time_s for s in event.statistics
    ]


@given(requests)
def test_a_request_arrives_as_it_left(request: EngineRequest) -> None:
    assert wire.unpack_request(through_pipe(wire.pack_request(request))) == request


def test_a_deadline_travels_as_the_time_that_is_left() -> None:
    deadline_s = time.monotonic() + 5.0
    request = EngineRequest((1,), SamplingParams(), deadline_s=deadline_s)

    packet = through_pipe(wire.pack_request(request))

    assert 0 < packet["left_s"] <= 5.0
    arrived = wire.unpack_request(packet).deadline_s
    assert arrived is not None
    assert deadline_s <= arrived < deadline_s + 5.0


def test_impossible_tokens_keep_their_infinities() -> None:
    one = TokenStatistics(1, -math.inf, 3.5, (1,), (-math.inf,), 0.0, 0.0, 9, 0.0, (-math.inf,))
    event = SequenceEvent(7, (1,), "", statistics=(one, None))

    assert wire.unpack_event(7, through_pipe(wire.pack_event(event))) == event


def test_settings_arrive_with_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = EdgeConfig(
        model="m.gguf",
        context_size=512,
        system_prompt="Be brief. é",
        provider="qnn",
        provider_options={"soc_model": "60"},
    )
    location = ModelLocation("m", Path("m.gguf"), {"temperature": 0.3})
    settings = HostSettings(location, config, "{{ messages }}")

    arrived = wire.unpack_settings(through_pipe(wire.pack_settings(settings)))

    assert arrived == replace(settings, reference=replace(location, path=tmp_path / "m.gguf"))


@pytest.mark.parametrize(
    ("close", "memory"), [(None, None), ((1, 2), MemoryEstimate(100, 20, 3, 4))]
)
def test_facts_arrive_as_they_left(
    close: tuple[int, ...] | None, memory: MemoryEstimate | None
) -> None:
    facts = ModelFacts(
        name="m",
        file_format="gguf",
        architecture="llama",
        max_model_len=512,
        sampling=SamplingParams(temperature=0.3, logit_bias={5: -1.0}),
        thinking_close=close,
        memory=memory,
        eog_ids=frozenset({1, 2}),
        visible_tokens=frozenset({3}),
        unsure_token_id=7,
    )

    assert wire.unpack_facts(through_pipe(wire.pack_facts(facts))) == facts


def test_a_prompt_arrives_as_it_left() -> None:
    prompt = EncodedPrompt((1, 2), "text é", opens_thinking=True)

    assert wire.unpack_prompt(through_pipe(wire.pack_prompt(prompt))) == prompt


def all_errors() -> list[type[EdgeLLMError]]:
    found = [EdgeLLMError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith(edge_llm.errors.__name__)]


PARTICULAR: list[EdgeLLMError] = [
    ContextLengthExceededError(prompt_tokens=9, max_tokens=2, max_model_len=10),
    CloudTimeoutError("slow", phase="read", endpoint="there"),
    BudgetExceededError(
        "spent", limit="daily_usd", allowed=1.0, spent=0.9, requested=0.2, resets_at=1.8e9
    ),
    UnsupportedSchemaError("#/properties/a/not", "not"),
    RunLimitExceededError("stopped", limit="max_turns"),
]
"""Errors with constructors of their own."""


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_arrives_with_all_it_says(kind: type[EdgeLLMError]) -> None:
    made = [error for error in PARTICULAR if type(error) is kind]
    error = made[0] if made else kind("what happened", hint="what to do")

    arrived = wire.unpack_error(through_pipe(wire.pack_error(error)))

    assert type(arrived) is kind
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))


def test_an_error_of_an_unknown_type_keeps_its_words() -> None:
    packet = {"type": "os", "fields": {"message": "lost", "hint": None}}

    error = wire.unpack_error(packet)

    assert type(error) is BackendError
    assert "lost" in str(error)
    assert not isinstance(error, InvalidParameterError)


@pytest.mark.parametrize("line", [b"{nonsense\n", b"[1]\n", b"\xff\xfe\n", b"\n"])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(wire.BrokenPacketError):
        wire.read_packet(io.BytesIO(line))


def test_half_a_message_is_the_end() -> None:
    assert wire.read_packet(io.BytesIO(b'{"id": 3')) is None


def test_a_constraint_that_cannot_travel_is_an_error_at_once() -> None:
    class Homely:
        def start(self) -> "Homely":
            return self

        def advance(self, token_id: int, text: str) -> tuple[int, ...]:
            return ()

    request = EngineRequest((1,), SamplingParams(), constraint=Homely())

    with pytest.raises(TypeError, match="Homely"):
        wire.pack_request(request)
