"""Answers of a form through all tiers: what is right is passed on, and nothing else ever is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, assert_type

import pytest
from pydantic import BaseModel, Field

from edge_llm.backends.fake import FakeBackend
from edge_llm.errors import (
    AnswerDeferredError,
    AnswerRejectedError,
    CloudUnavailableError,
    EdgeLLMError,
    InvalidAnswerError,
    InvalidParameterError,
    NoRouteError,
    TruncatedAnswerError,
    UnsupportedSchemaError,
)
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.remote_llm import connect
from edge_llm.types import Answer
from tests.support.hybrid import LOCAL, DoubtfulBackend, cloud, hybrid
from tests.support.runtimes import SpokenBackend, fake_runtime
from tests.support.serving import served
from tests.support.turns import TurnsBackend, called

DOWN = "status 503\nbody {}"


class Lamp(BaseModel):
    room: Literal["hall", "attic"]
    brightness: int = Field(ge=0, le=100)


GOOD = '{"room":"hall","brightness":40}'
SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "lamp", "schema": Lamp.model_json_schema()},
}


def says(text: str, finish: str = "stop") -> str:
    """A script of the cloud."""
    return f"say {json.dumps(text)[1:-1].replace(' ', chr(92) + 'u0020')}\nfinish {finish}\ndone"


def test_a_local_model_cannot_but_keep_to_the_form() -> None:
    with fake_runtime(SpokenBackend("I would rather chat.")) as llm:
        lamp = llm.chat("x", response_type=Lamp, max_tokens=200)
        choice = llm.chat("x", choice=["yes", "no"])
        digits = llm.chat("x", regex="[0-9]{3}")

    assert isinstance(lamp.parsed, Lamp)
    assert json.loads(lamp.text) == lamp.parsed.model_dump()
    assert choice.text in ("yes", "no")
    assert len(digits.text) == 3
    assert digits.text.isdigit()


def test_the_type_of_the_value_is_known() -> None:
    with fake_runtime(SpokenBackend(GOOD)) as llm:
        answer = llm.chat("x", response_type=Lamp)
        assert_type(answer, Answer[Lamp])
        plain = llm.chat("x", response_format=SCHEMA)

    assert answer.parsed == Lamp(room="hall", brightness=40)
    assert plain.parsed == {"room": "hall", "brightness": 40}
    assert "parsed" not in answer.to_dict()


async def ask_later(llm: AsyncEdgeLLM) -> Lamp | None:
    """Only mypy looks at this."""
    answer = await llm.chat("x", response_type=Lamp)
    assert_type(answer, Answer[Lamp])
    return answer.parsed


def test_a_stream_shows_nothing_before_all_of_it_is_right() -> None:
    with fake_runtime(SpokenBackend(GOOD)) as llm:
        chunks = list(llm.stream("x", response_type=Lamp, hold="none"))

    assert "".join(chunk.text for chunk in chunks) == GOOD
    assert chunks[-1].answer is not None
    assert chunks[-1].answer.parsed == Lamp(room="hall", brightness=40)


def test_half_an_answer_is_an_error_and_never_shown() -> None:
    with fake_runtime(SpokenBackend(GOOD)) as llm:
        stream = llm.stream("x", response_type=Lamp, hold="none", max_tokens=10)
        with pytest.raises(TruncatedAnswerError):
            next(stream)


def test_half_an_answer_goes_up() -> None:
    with hybrid(SpokenBackend(GOOD), says(GOOD)) as (llm, server):
        answer = llm.chat("x", response_type=Lamp, max_tokens=10)

    assert (answer.route, answer.parsed) == ("cloud", Lamp(room="hall", brightness=40))
    assert answer.reason in ("truncated", "invalid")
    sent = server.requests[0].json["response_format"]
    assert sent["json_schema"]["name"] == "Lamp"


WRONG = [
    (says("Sorry, I cannot."), InvalidAnswerError, "$"),
    (says('{"room":"cellar","brightness":40}'), InvalidAnswerError, "$.room"),
    (says('{"room":"hall","brightness":400}'), InvalidAnswerError, "$.brightness"),
    (says(GOOD[:-4], "length"), TruncatedAnswerError, None),
    (DOWN, CloudUnavailableError, None),
]


@pytest.mark.parametrize(("script", "kind", "path"), WRONG)
def test_what_the_cloud_gets_wrong_is_an_error_with_its_place(
    script: str, kind: type[EdgeLLMError], path: str | None
) -> None:
    with hybrid(DoubtfulBackend("x", unsure=0.9), script) as (_, server):
        only = [cloud(server)]
        with (
            hybrid(SpokenBackend("x"), tiers=only) as (llm, _),
            pytest.raises(kind) as caught,
        ):
            llm.chat("x", response_type=Lamp)

    if isinstance(caught.value, InvalidAnswerError):
        assert caught.value.path == path


def test_a_doubtful_but_valid_draft_is_better_than_an_invalid_answer() -> None:
    # Sure at its first token, doubtful after: the grammar keeps what it writes valid.
    backend = DoubtfulBackend(GOOD, lambda at: 0.05)
    with hybrid(backend, says("no JSON at all")) as (llm, _):
        answer = llm.chat("x", response_type=Lamp, max_tokens=200)

    assert (answer.route, answer.degraded) == ("local", True)
    assert isinstance(answer.parsed, Lamp)
    assert [one.outcome for one in answer.attempts] == ["answered", "deferred"]


ODD: dict[str, Any] = {"type": "object", "properties": {"a": {"not": {"const": 1}}}}


def test_a_keyword_that_no_grammar_keeps_to_is_checked_afterwards() -> None:
    loose = {"type": "json_schema", "json_schema": {"schema": {**ODD, "required": ["a"]}}}
    with fake_runtime(SpokenBackend('{"a":2}')) as llm:
        assert llm.chat("x", response_format=loose, max_tokens=50).parsed == {"a": 2}
    with fake_runtime(SpokenBackend('{"a":1}')) as llm, pytest.raises(InvalidAnswerError) as wrong:
        llm.chat("x", response_format=loose, max_tokens=50)

    assert (wrong.value.path, wrong.value.keyword) == ("$.a", "not")


def test_a_strict_schema_that_no_grammar_keeps_to_goes_where_it_can() -> None:
    strict = {"type": "json_schema", "json_schema": {"schema": ODD, "strict": True}}
    with hybrid(SpokenBackend("{}"), says('{"a":2}')) as (llm, server):
        answer = llm.chat("x", response_format=strict)
        with (
            hybrid(SpokenBackend("{}"), tiers=[LOCAL, cloud(server, capabilities=["tools"])]) as (
                poor,
                _,
            ),
            pytest.raises(NoRouteError, match="#/properties/a/not"),
        ):
            poor.chat("x", response_format=strict)

    assert (answer.route, answer.reason) == ("cloud", "capability")
    assert answer.parsed == {"a": 2}


def test_a_strict_schema_that_nobody_keeps_to_is_an_error_with_the_keyword() -> None:
    strict = {"type": "json_schema", "json_schema": {"schema": ODD, "strict": True}}
    with (
        fake_runtime(SpokenBackend("{}")) as llm,
        pytest.raises(UnsupportedSchemaError) as caught,
    ):
        llm.chat("x", response_format=strict)

    assert (caught.value.keyword, caught.value.path) == ("not", "#/properties/a/not")


def test_what_is_no_schema_is_refused_before_anything_is_asked() -> None:
    wrong = {"type": "json_schema", "json_schema": {"schema": {"type": "lamp"}}}
    with hybrid(SpokenBackend("x")) as (llm, server):
        with pytest.raises(InvalidParameterError, match="#/type"):
            llm.chat("x", response_format=wrong)
        assert server.requests == []


def test_a_choice_goes_only_to_endpoints_that_take_one() -> None:
    backend = DoubtfulBackend("yes", unsure=0.9)
    with hybrid(backend, says("no")) as (llm, server):
        here = llm.chat("x", choice=["yes", "no"])
        tiers = [LOCAL, cloud(server, capabilities=["grammar"])]
        with hybrid(backend, tiers=tiers) as (rich, _):
            there = rich.chat("x", choice=["yes", "no"])

    assert (here.route, here.text) == ("local", "yes")
    assert (there.route, there.text) == ("cloud", "no")
    assert server.requests[0].json["structured_outputs"] == {"choice": ["yes", "no"]}


TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "light",
        "parameters": {
            "type": "object",
            "properties": {"level": {"type": "integer", "maximum": 100}},
            "required": ["level"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize(
    ("name", "arguments", "path"),
    [
        ("light", {"level": 500}, "light.level"),
        ("light", {}, "light"),
        ("light", {"level": 5, "more": 1}, "light"),
        ("heat", {"level": 5}, "heat"),
    ],
)
def test_a_call_of_the_cloud_keeps_to_its_tool_or_is_an_error(
    name: str, arguments: dict[str, Any], path: str
) -> None:
    script = f"tool 0 c1 {name} {json.dumps(arguments)}\nfinish tool_calls\ndone"
    with (
        hybrid(SpokenBackend("x"), script) as (llm, _),
        pytest.raises(InvalidAnswerError) as caught,
    ):
        llm.chat("x", tools=[TOOL])

    assert caught.value.path == path


def test_a_call_that_was_escalated_is_held_to_the_same_schema() -> None:
    script = 'tool 0 c1 light {"level":40}\nfinish tool_calls\ndone'
    with hybrid(TurnsBackend(called("light", level=40)), script) as (llm, _):
        local = llm.chat("x", tools=[TOOL])
    with hybrid(SpokenBackend("x"), script) as (llm, _):
        there = llm.chat("x", tools=[TOOL])

    for answer in (local, there):
        assert [(c.name, dict(c.arguments)) for c in answer.tool_calls] == [
            ("light", {"level": 40})
        ]


def test_a_doubtful_call_goes_up_and_is_not_acted_on() -> None:
    script = 'tool 0 c1 light {"level":40}\nfinish tool_calls\ndone'
    backend = TurnsBackend(called("light", level=100), sureness=3.0)
    with hybrid(backend, script) as (llm, _):
        chunks = list(llm.stream("x", tools=[TOOL], temperature=0.0))

    answer = chunks[-1].answer
    assert answer is not None
    assert (answer.route, answer.reason) == ("cloud", "low_confidence")
    assert [dict(c.tool_call.arguments) for c in chunks if c.tool_call] == [{"level": 40}]


def test_a_request_with_a_type_can_wait_for_the_cloud(tmp_path: Path) -> None:
    with hybrid(SpokenBackend("x"), DOWN, says(GOOD)) as (_, server):
        options: dict[str, Any] = {"tiers": [cloud(server)], "state_dir": str(tmp_path)}
        with hybrid(SpokenBackend("x"), **options) as (llm, _):
            with pytest.raises(AnswerDeferredError):
                llm.chat("x", response_type=Lamp, deferred=True)
            assert llm.answer_deferred() == 1
            answer = llm.take_deferred()

    assert answer is not None
    assert answer.text == GOOD


def test_a_connection_gives_instances_too() -> None:
    with served(SpokenBackend(GOOD)) as url, connect(url) as llm:
        answer = llm.chat("x", response_type=Lamp)
        choice = llm.chat("x", choice=["yes", "no"])
        with pytest.raises(TruncatedAnswerError):
            llm.chat("x", response_type=Lamp, max_tokens=5)

    assert answer.parsed == Lamp(room="hall", brightness=40)
    assert choice.text in ("yes", "no")


def test_errors_of_answers_say_what_to_do() -> None:
    backend: FakeBackend = SpokenBackend(GOOD)
    with fake_runtime(backend) as llm, pytest.raises(AnswerRejectedError) as caught:
        llm.chat("x", response_type=Lamp, max_tokens=3)

    assert caught.value.hint is not None
    assert "max_tokens" in caught.value.hint


NAMED = {"type": "function", "function": {"name": "light"}}
ONE_CALL = 'tool 0 c1 light {"level":40}\n'
ENDS = "finish tool_calls\ndone"


@pytest.mark.parametrize(
    ("script", "options", "keyword"),
    [
        ("say ok\nfinish stop\ndone", {"tool_choice": "required"}, "tool_choice"),
        ("say ok\nfinish stop\ndone", {"tool_choice": NAMED}, "tool_choice"),
        (f"tool 0 c1 heat {{}}\n{ENDS}", {"tool_choice": NAMED}, "tool"),
        (ONE_CALL + ENDS, {"tool_choice": "none"}, "tool_choice"),
        (
            f"{ONE_CALL}tool 1 c2 heat {{}}\n{ENDS}",
            {"parallel_tool_calls": False},
            "parallel_tool_calls",
        ),
    ],
)
def test_the_cloud_calls_as_it_was_told_or_its_answer_is_an_error(
    script: str, options: dict[str, Any], keyword: str
) -> None:
    odd = {"type": "object", "properties": {"x": {"not": {}}}}
    heat = {"name": "heat", "parameters": odd, "strict": True}  # beyond the local tier
    tools = [TOOL, {"type": "function", "function": heat}]
    with (
        hybrid(SpokenBackend("x"), script) as (llm, _),
        pytest.raises(InvalidAnswerError) as caught,
    ):
        llm.chat("x", tools=tools, **options)

    assert caught.value.keyword == keyword


ODD_TOOL = {
    "type": "function",
    "function": {
        "name": "light",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"level": {"not": {"const": 1}}},
            "required": ["level"],
        },
    },
}


def test_a_strict_tool_that_no_grammar_keeps_to_goes_where_it_can_or_is_refused() -> None:
    with hybrid(TurnsBackend(called("light", level=40)), ONE_CALL + ENDS) as (llm, _):
        answer = llm.chat("x", tools=[ODD_TOOL])
    with (
        fake_runtime(TurnsBackend(called("light", level=40))) as llm,
        pytest.raises(UnsupportedSchemaError) as caught,
    ):
        llm.chat("x", tools=[ODD_TOOL], tool_choice="required")

    assert (answer.route, answer.reason) == ("cloud", "capability")
    assert (caught.value.keyword, caught.value.path) == ("not", "#/properties/level/not")


@pytest.mark.parametrize("name", ["a b", "x)]", "x\n", "<|im_end|>", "n" * 129])
def test_a_tool_has_a_name_that_can_be_written(name: str) -> None:
    with (
        fake_runtime(SpokenBackend("x")) as llm,
        pytest.raises(InvalidParameterError, match="a tool cannot have the name"),
    ):
        llm.chat("x", tools=[{"type": "function", "function": {"name": name}}])
