"""Tools through the whole runtime, on a model that is a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import edge_llm
from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.failover import CloudTier
from edge_llm.cloud.wire import request_body
from edge_llm.config import EdgeConfig
from edge_llm.errors import TruncatedAnswerError
from edge_llm.prompt.chat_template import CHATML
from edge_llm.runtime.chat_request import parse_request
from edge_llm.runtime.endpoints import create_endpoint
from edge_llm.runtime.hold import Hold
from edge_llm.runtime.outgoing import NOTHING_MORE, Door
from edge_llm.runtime.outlet import Draft, Outlet
from edge_llm.types import Chunk, ToolCall, ToolCallDelta
from tests.support.hybrid import hybrid
from tests.support.runtimes import SpokenBackend, fake_runtime, spell_calls

THINKS = CHATML.replace("assistant\\n'", "assistant\\n<think>'")


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


LIGHT = tool("light", area={"enum": ["kitchen", "hall"]})
DOOR = tool("door")
TOOLS = [LIGHT, DOOR]
IN_HALL = ("light", {"area": "hall"})


def called(answer: edge_llm.Answer) -> list[tuple[str, Any]]:
    return [(call.name, dict(call.arguments)) for call in answer.tool_calls]


def test_text_around_a_call_is_kept() -> None:
    with fake_runtime(SpokenBackend("On it. " + spell_calls(IN_HALL) + " Done.")) as llm:
        answer = llm.chat("hello", tools=TOOLS)

    assert called(answer) == [IN_HALL]
    assert answer.text == "On it.Done."


def test_pieces_of_a_call_come_first_and_then_the_whole_of_it() -> None:
    with fake_runtime(SpokenBackend(spell_calls(IN_HALL, ("door", {})))) as llm:
        chunks = list(llm.stream("hello", tools=TOOLS))
    answer = chunks[-1].answer
    assert answer is not None

    for index, call in enumerate(answer.tool_calls):
        of_it = [c.tool_call_delta for c in chunks if c.tool_call_delta]
        pieces = [piece for piece in of_it if piece.index == index]
        assert (pieces[0].id, pieces[0].name) == (call.id, call.name)
        assert json.loads("".join(piece.arguments for piece in pieces)) == call.arguments
    assert tuple(c.tool_call for c in chunks if c.tool_call) == answer.tool_calls


def test_a_call_that_breaks_off_is_an_error() -> None:
    reply = spell_calls(("note", {"text": "x" * 500}))
    with (
        fake_runtime(SpokenBackend(reply)) as llm,
        pytest.raises(TruncatedAnswerError, match="cut off"),
    ):
        llm.chat("hello", tools=[tool("note", text={"type": "string"})], max_tokens=80)


@pytest.mark.parametrize("template", [CHATML, THINKS], ids=["may think", "is thinking"])
def test_a_forced_call_comes_after_the_thoughts(template: str) -> None:
    # Where the prompt brings the marker, it stands in the place of the script's own.
    reply = "<think>The hall is dark.</think>\n\n" + spell_calls(IN_HALL)
    with fake_runtime(SpokenBackend(reply, chat_template=template)) as llm:
        answer = llm.chat("hello", tools=TOOLS, tool_choice="required")

    assert called(answer) == [IN_HALL]
    assert answer.reasoning == "The hall is dark."


def test_a_marker_inside_of_thoughts_calls_nobody() -> None:
    reply = "I could say " + spell_calls(("door", {})) + " but no.</think>\n\nGood night."
    with fake_runtime(SpokenBackend(reply, chat_template=THINKS)) as llm:
        answer = llm.chat("hello", tools=TOOLS)

    assert called(answer) == []
    assert answer.text == "Good night."


def test_thoughts_without_end_are_closed_before_the_call() -> None:
    reply = "hm " * 200
    with fake_runtime(SpokenBackend(reply, chat_template=THINKS)) as llm:
        answer = llm.chat("hello", tools=[DOOR], tool_choice=named("door"), thinking_budget=20)

    assert called(answer) == [("door", {})]
    assert answer.reasoning is not None
    assert len(answer.reasoning) < 100


def test_a_form_or_a_call_where_both_are_asked_for() -> None:
    form = {"type": "json_schema", "json_schema": {"schema": LIGHT["function"]["parameters"]}}
    for reply, expected in (
        (spell_calls(IN_HALL), ("", [IN_HALL])),
        ('{"area":"hall"}', ('{"area":"hall"}', [])),
    ):
        with fake_runtime(SpokenBackend(reply)) as llm:
            answer = llm.chat("hello", tools=TOOLS, response_format=form)
        text, calls = expected
        assert called(answer) == calls
        assert calls or answer.text == text


def test_a_template_without_a_place_for_tools_learns_of_them_and_of_results() -> None:
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "1", "function": {"name": "door", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "it is open"},
    ]
    with fake_runtime(SpokenBackend("Open.")) as llm:
        model = llm._async._tiers.tiers[0].model  # type: ignore[union-attr]
        text = model.encode(history, TOOLS).text
        assert llm.chat(history, tools=TOOLS).text == "Open."

    assert '"name": "light"' in text
    assert text.index('<tool_call>\n{"name": "door"') < text.index("it is open")
    assert "<tool_response>\nit is open\n</tool_response>" in text


def test_tools_that_must_not_leave_are_called_by_a_model_that_was_not_made_for_them() -> None:
    with hybrid(SpokenBackend(spell_calls(IN_HALL))) as (llm, _):
        answer = llm.chat("hello", tools=TOOLS, privacy="local_only")

    assert called(answer) == [IN_HALL]
    assert answer.route == "local"


def test_pieces_wait_where_another_tier_could_answer_instead() -> None:
    begun = Chunk(tool_call_delta=ToolCallDelta(0, "1", "f"))
    whole = Chunk(tool_call=ToolCall("1", "f", {}))
    held, free = Draft(), Draft(is_free=True)

    assert Outlet(Hold("none")).add(held, [Chunk(text="a"), begun]) == [Chunk(text="a")]
    outlet = Outlet(Hold("none"))
    assert outlet.add(free, [begun, whole]) == [begun]
    assert outlet.finish(free) == [whole]


def test_the_choice_goes_to_the_cloud_as_it_was_made() -> None:
    options = {"tools": TOOLS, "tool_choice": named("door"), "parallel_tool_calls": False}
    asked = parse_request("hello", options, EdgeConfig())
    endpoint = create_endpoint({"base_url": "https://example.com/v1", "model": "m"})
    out = Door(lambda: pytest.fail("nothing to redact"), None).outgoing(
        CloudTier([CloudClient(endpoint)]), asked, 5, NOTHING_MORE
    )
    body = request_body(out.request, endpoint)

    assert (body["tool_choice"], body["parallel_tool_calls"]) == (named("door"), False)
    assert "tool_choice" not in request_body(
        Door(lambda: pytest.fail("nothing to redact"), None)
        .outgoing(
            CloudTier([CloudClient(endpoint)]),
            parse_request("hello", {"tool_choice": "auto"}, EdgeConfig()),
            5,
            NOTHING_MORE,
        )
        .request,
        endpoint,
    )


def test_the_built_in_model_calls_what_is_offered_from_a_worker_too() -> None:
    home = tool("HassTurnOn", area={"type": "string"}, domain={"enum": ["light", "fan"]})
    with edge_llm.load("builtin:gguf", worker=True) as llm:
        answer = llm.chat("turn on the kitchen lights", tools=[home], tool_choice="required")

    assert called(answer) == [("HassTurnOn", {"area": "kitchen", "domain": "light"})]


def test_the_tools_of_a_file_reach_the_model(tmp_path: Path) -> None:
    from edge_llm.cli.tool_options import tool_options

    path = tmp_path / "tools.json"
    for written in ([DOOR], {"tools": [DOOR]}, DOOR["function"], [DOOR["function"]]):
        path.write_text(json.dumps(written), encoding="utf-8")
        options = tool_options(str(path), "door", False)
        assert options["tools"] == [DOOR]
        assert options["tool_choice"] == named("door")
    assert tool_options(None, "required", None)["tool_choice"] == "required"
