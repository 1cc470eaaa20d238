"""Whole runs: a scripted model that calls, functions that are called, and every way to end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel

from edge_llm.errors import (
    InvalidParameterError,
    NoRouteError,
    RunLimitExceededError,
    ToolError,
)
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.runtime.remote_llm import connect
from edge_llm.runtime.tools.function import tool
from edge_llm.runtime.tools.types import RunResult, Step
from edge_llm.types import Chunk, ToolCall
from tests.support.hybrid import cloud, hybrid
from tests.support.runtimes import fake_runtime, spell_calls
from tests.support.serving import served
from tests.support.turns import TurnsBackend, called

lamps: dict[str, bool] = {}


@pytest.fixture(autouse=True)
def dark() -> None:
    lamps.clear()


def set_lamp(room: str, is_on: bool) -> str:
    """Switch a lamp.

    Args:
        room: Where it hangs.
        is_on: Whether it shall shine.
    """
    if room == "cellar":
        raise LookupError("there is no lamp in the cellar")
    lamps[room] = is_on
    return f"the lamp in the {room} is {'on' if is_on else 'off'}"


ON = called("set_lamp", room="hall", is_on=True)


def test_a_call_is_executed_and_its_result_told_to_the_model() -> None:
    with fake_runtime(TurnsBackend(ON, "The hall is bright.")) as llm:
        result = llm.run("light in the hall", [set_lamp])

    assert lamps == {"hall": True}
    assert result.text == "The hall is bright."
    assert [len(step.results) for step in result.steps] == [1, 0]
    assert [(r.status, r.content) for r in result.results] == [("ok", "the lamp in the hall is on")]
    assert [message["role"] for message in result.messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert result.messages[2]["content"] == "the lamp in the hall is on"
    assert result.messages[2]["tool_call_id"] == result.messages[1]["tool_calls"][0]["id"]
    used = [step.answer.usage.completion_tokens for step in result.steps]
    assert result.usage.completion_tokens == sum(used)


def test_calls_side_by_side_have_their_results_in_order() -> None:
    both = spell_calls(
        ("set_lamp", {"room": "hall", "is_on": True}),
        ("set_lamp", {"room": "attic", "is_on": False}),
    )
    with fake_runtime(TurnsBackend(both, "Done.")) as llm:
        result = llm.run("x", [set_lamp])

    assert lamps == {"hall": True, "attic": False}
    assert [r.call.arguments["room"] for r in result.results] == ["hall", "attic"]


def test_an_answer_without_calls_ends_at_once() -> None:
    with fake_runtime(TurnsBackend("Good morning.")) as llm:
        result = llm.run("hello", [set_lamp])

    assert (result.text, len(result.steps)) == ("Good morning.", 1)


def test_what_a_tool_raises_is_told_to_the_model() -> None:
    wrong = called("set_lamp", room="cellar", is_on=True)
    with fake_runtime(TurnsBackend(wrong, "There is none.")) as llm:
        result = llm.run("x", [set_lamp])

    assert result.messages[2]["content"] == "error: LookupError: there is no lamp in the cellar"
    assert result.text == "There is none."


def test_asynchronous_tools_and_the_asynchronous_face() -> None:
    async def wait_and_set(room: str) -> str:
        """Switch a lamp, later."""
        await asyncio.sleep(0)
        lamps[room] = True
        return "done"

    with fake_runtime(TurnsBackend(called("wait_and_set", room="hall"), "Done.")) as llm:
        result = asyncio.run(llm._async.run("x", [wait_and_set]))

    assert lamps == {"hall": True}
    assert result.text == "Done."


def test_a_stream_tells_of_every_step_while_it_goes_on() -> None:
    with fake_runtime(TurnsBackend(ON, "Done.")) as llm:
        events = list(llm.run_stream("x", [set_lamp]))

    kinds = [type(event) for event in events if not isinstance(event, Chunk)]
    assert kinds == [Step, Step, RunResult]
    after = events[next(i for i, e in enumerate(events) if isinstance(e, Step)) + 1 :]
    assert "".join(e.text for e in after if isinstance(e, Chunk)) == "Done."


LIMITS: list[tuple[dict[str, Any], str]] = [
    ({"max_turns": 2}, "max_turns"),
    ({"max_total_tokens": 10}, "max_total_tokens"),
]


@pytest.mark.parametrize(("limits", "name"), LIMITS)
def test_a_limit_ends_a_run_that_would_go_on_for_ever(limits: dict[str, Any], name: str) -> None:
    with (
        fake_runtime(TurnsBackend(ON)) as llm,
        pytest.raises(RunLimitExceededError) as caught,
    ):
        llm.run("x", [set_lamp], **limits)

    error = caught.value
    assert error.limit == name
    assert isinstance(error.result, RunResult)
    assert lamps == {"hall": True}
    assert len(error.result.results) == len(error.result.steps)


def test_a_deadline_is_one_of_the_whole_run() -> None:
    async def linger() -> str:
        """Take long."""
        await asyncio.sleep(60)
        return "never"

    with (
        fake_runtime(TurnsBackend(called("linger"))) as llm,
        pytest.raises(RunLimitExceededError) as caught,
    ):
        llm.run("x", [linger], deadline_s=4.0)

    assert caught.value.limit == "deadline_s"


def test_a_budget_in_dollars_ends_a_run() -> None:
    script = (
        'tool 0 c1 set_lamp {"room":"hall","is_on":true}\nfinish tool_calls\nusage 1000 1000\ndone'
    )
    prices = {"input_usd": 10.0, "output_usd": 10.0}
    with (
        hybrid(TurnsBackend("x"), script) as (_, server),
        hybrid(
            TurnsBackend("x"),
            tiers=[
                {
                    "name": "cloud",
                    "base_url": server.url,
                    "model": "m",
                    "prices": prices,
                }
            ],
        ) as (llm, _),
        pytest.raises(RunLimitExceededError) as caught,
    ):
        llm.run("x", [set_lamp], max_usd=0.05)

    result = caught.value.result
    assert isinstance(result, RunResult)
    assert caught.value.limit == "max_usd"
    assert result.cost_usd == pytest.approx(0.06)
    assert len(result.steps) == 3


def test_only_what_is_approved_happens() -> None:
    asked: list[ToolCall] = []

    @tool(needs_approval=True)
    def unlock(door: str) -> str:
        """Unlock a door."""
        lamps[door] = True
        return "open"

    def approve(call: ToolCall) -> bool:
        asked.append(call)
        return bool(call.arguments["door"] == "garden")

    both = spell_calls(("unlock", {"door": "front"}), ("unlock", {"door": "garden"}))
    with fake_runtime(TurnsBackend(both, "Done.")) as llm:
        result = llm.run("x", [unlock], approve=approve)
        with pytest.raises(ToolError, match="approve"):
            llm.run("x", [unlock])

    assert {call.arguments["door"] for call in asked} == {"front", "garden"}
    assert lamps == {"garden": True}
    assert [r.status for r in result.results] == ["denied", "ok"]


def test_what_a_tool_keeps_private_keeps_the_conversation_here() -> None:
    @tool(privacy="local_only")
    def diary(day: str) -> str:
        """Read the diary."""
        return "the secret of the day"

    read = called("diary", day="today")
    with hybrid(TurnsBackend(read, "It is a secret.")) as (llm, server):
        result = llm.run("x", [diary], privacy="allow")

    assert result.text == "It is a secret."
    assert result.privacy == "local_only"
    assert server.requests == []


def test_a_private_result_is_no_reason_to_ask_the_cloud_after_all() -> None:
    @tool(privacy="local_only")
    def diary(day: str) -> str:
        """Read the diary."""
        return "the secret " * 1000  # no longer fits in the local model's context

    read = called("diary", day="today")
    with hybrid(TurnsBackend(read, "It is a secret.")) as (llm, server):
        with pytest.raises(NoRouteError, match="privacy"):
            llm.run("x", [diary], privacy="allow", max_result_chars=100_000)
        assert server.requests == []


def test_what_a_tool_says_is_redacted_like_what_a_person_says() -> None:
    def contact() -> str:
        """Find the neighbour's address."""
        return "write to ada@example.org"

    scripts = ("tool 0 c1 contact {}\nfinish tool_calls\ndone", "say Done.\nfinish stop\ndone")
    with hybrid(TurnsBackend("x"), *scripts) as (_, server):
        tiers = [cloud(server)]
        with hybrid(TurnsBackend("x"), tiers=tiers, privacy={"label": "redact"}) as (llm, _):
            result = llm.run("x", [contact])

    assert result.messages[2]["content"] == "write to ada@example.org"
    assert "ada@example.org" not in json.dumps(server.requests[-1].json)
    assert "write to" in json.dumps(server.requests[-1].json)


class Report(BaseModel):
    room: str
    is_on: bool


def test_the_last_answer_may_have_a_form() -> None:
    with fake_runtime(TurnsBackend(ON, '{"room":"hall","is_on":true}')) as llm:
        result = llm.run("x", [set_lamp], response_type=Report)

    assert result.parsed == Report(room="hall", is_on=True)
    assert lamps == {"hall": True}


@pytest.mark.parametrize(
    "options", [{"max_turns": 0}, {"max_usd": -1}, {"tool_timeout_s": "x"}, {"approve": 3}]
)
def test_limits_that_are_none_are_refused(options: dict[str, Any]) -> None:
    with fake_runtime(TurnsBackend("x")) as llm, pytest.raises(InvalidParameterError):
        llm.run("x", [set_lamp], **options)


@pytest.mark.parametrize("tools", [[set_lamp, set_lamp], [3], ["set_lamp"]])
def test_what_is_no_tool_is_refused(tools: Any) -> None:
    with fake_runtime(TurnsBackend("x")) as llm, pytest.raises(ToolError):
        llm.run("x", tools)


def test_a_run_over_a_connection_executes_here() -> None:
    with served(TurnsBackend(ON, "Done.")) as url, connect(url) as llm:
        result = llm.run("x", [set_lamp])

    assert lamps == {"hall": True}
    assert (result.text, len(result.steps)) == ("Done.", 2)


def test_who_must_call_may_answer_after_that() -> None:
    with fake_runtime(TurnsBackend(ON, "Done.")) as llm:
        result = llm.run("x", [set_lamp], tool_choice="required")

    assert [len(step.results) for step in result.steps] == [1, 0]


def test_leaving_a_run_early_stops_it() -> None:
    def use(llm: EdgeLLM) -> None:
        for event in llm.run_stream("x", [set_lamp], max_turns=1000):
            if isinstance(event, Step) and event.turn == 2:
                break

    with fake_runtime(TurnsBackend(ON)) as llm:
        use(llm)
        assert llm.chat("x").text
