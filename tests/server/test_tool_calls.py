"""Tool calls as the real `openai` client sees them, over a real socket."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.support.runtimes import SpokenBackend, spell_calls
from tests.support.serving import served

HELLO: Any = [{"role": "user", "content": "hello"}]
AREA = {"type": "string", "enum": ["kitchen", "hall"]}


def tool(name: str, **properties: Any) -> Any:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [tool("light", area=AREA, level={"type": "integer"}), tool("door")]
LIGHT = ("light", {"area": "kitchen", "level": 40})
DOOR: tuple[str, dict[str, Any]] = ("door", {})


def connected(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)


def whole(reply: str, **options: Any) -> ChatCompletion:
    with served(SpokenBackend(reply)) as url, connected(url) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="fake", messages=HELLO, tools=TOOLS, **options
        )
        return ChatCompletion.model_validate(json.loads(raw.content), strict=True)


def streamed(reply: str, **options: Any) -> list[ChatCompletionChunk]:
    with served(SpokenBackend(reply)) as url, connected(url) as client:
        return list(
            client.chat.completions.create(
                model="fake", messages=HELLO, tools=TOOLS, stream=True, **options
            )
        )


def called(answer: ChatCompletion) -> list[tuple[str, Any]]:
    calls: Any = answer.choices[0].message.tool_calls or []
    return [(one.function.name, json.loads(one.function.arguments)) for one in calls]


def test_a_whole_answer_has_calls_with_ids_of_their_own() -> None:
    answer = whole(spell_calls(LIGHT, DOOR) + "Done.")
    message = answer.choices[0].message

    assert called(answer) == [LIGHT, DOOR]
    assert (message.content, answer.choices[0].finish_reason) == ("Done.", "tool_calls")
    assert len({call.id for call in message.tool_calls or []}) == 2


def test_a_stream_names_a_call_first_and_then_its_arguments() -> None:
    chunks = streamed("On it." + spell_calls(LIGHT, DOOR) + "Done.")
    deltas: Any = [call for c in chunks for o in c.choices for call in o.delta.tool_calls or []]
    first = [delta for delta in deltas if delta.id is not None]

    assert [(d.index, d.type, d.function.name, d.function.arguments) for d in first] == [
        (0, "function", "light", ""),
        (1, "function", "door", ""),
    ]
    for index, (_, arguments) in enumerate([LIGHT, DOOR]):
        pieces = [d for d in deltas if d.index == index and d.id is None]
        assert all(d.function.name is None and d.type is None for d in pieces)
        assert json.loads("".join(d.function.arguments for d in pieces)) == arguments
    assert "".join(o.delta.content or "" for c in chunks for o in c.choices) == "On it.Done."
    assert [o.finish_reason for c in chunks for o in c.choices if o.finish_reason] == ["tool_calls"]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk.model_dump(), strict=True)


def test_arguments_come_in_pieces_while_they_are_written() -> None:
    text = {"text": "a long note about the weather in the north"}
    reply = spell_calls(("note", text))
    tools = [tool("note", text={"type": "string"})]
    with served(SpokenBackend(reply)) as url, connected(url) as client:
        chunks = list(
            client.chat.completions.create(model="fake", messages=HELLO, tools=tools, stream=True)
        )
    deltas: Any = [call for c in chunks for o in c.choices for call in o.delta.tool_calls or []]
    pieces = [d.function.arguments for d in deltas if d.id is None]

    assert len(pieces) > 10
    assert json.loads("".join(pieces)) == text


def test_the_clients_own_accumulator_understands_the_stream() -> None:
    with served(SpokenBackend(spell_calls(LIGHT))) as url, connected(url) as client:
        stream = client.chat.completions.stream(model="fake", messages=HELLO, tools=TOOLS)
        with stream as events:
            answer = events.get_final_completion()

    call: Any = (answer.choices[0].message.tool_calls or [])[0]
    assert (call.function.name, json.loads(call.function.arguments)) == LIGHT


@pytest.mark.parametrize(
    ("choice", "reply", "expected"),
    [
        ("required", spell_calls(DOOR), [DOOR]),
        ({"type": "function", "function": {"name": "light"}}, spell_calls(LIGHT), [LIGHT]),
        ("auto", "No.", []),
        ("none", "No.", []),
    ],
)
def test_the_choice_decides_whether_tools_are_called(
    choice: Any, reply: str, expected: list[Any]
) -> None:
    assert called(whole(reply, tool_choice=choice)) == expected


def test_a_model_that_would_speak_is_made_to_call() -> None:
    """It keeps saying a letter that only a string can hold; the grammar does the rest."""
    answer = whole("n" * 300, tool_choice={"type": "function", "function": {"name": "door"}})

    assert [name for name, _ in called(answer)] == ["door"]


def test_no_more_than_one_call_where_one_is_allowed() -> None:
    answer = whole(spell_calls(LIGHT) + "Done.", parallel_tool_calls=False)

    assert called(answer) == [LIGHT]


def test_a_call_that_is_cut_off_is_an_error_and_no_text() -> None:
    reply = spell_calls(("light", {"area": "kitchen", "level": 4 * 10**30}))
    with pytest.raises(openai.APIStatusError, match="cut off"):
        whole(reply, max_tokens=70)


def test_results_go_back_to_the_model() -> None:
    first = whole(spell_calls(LIGHT))
    call: Any = (first.choices[0].message.tool_calls or [])[0]
    messages: Any = [
        *HELLO,
        first.choices[0].message.model_dump(exclude_none=True, exclude={"annotations"}),
        {"role": "tool", "tool_call_id": call.id, "content": "it is on"},
    ]
    with served(SpokenBackend("The light is on.")) as url, connected(url) as client:
        answer = client.chat.completions.create(model="fake", messages=messages, tools=TOOLS)

    assert answer.choices[0].message.content == "The light is on."
