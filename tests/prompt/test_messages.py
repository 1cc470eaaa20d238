from __future__ import annotations

from typing import Any

import pytest

from edge_llm.errors import InvalidParameterError, UnsupportedParameterError
from edge_llm.prompt.messages import check_tools, messages_from, normalize_messages


def test_a_string_becomes_one_user_message() -> None:
    assert messages_from("hi", "be brief") == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
    ]


def test_two_system_messages_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="already begin with a system message"):
        messages_from([{"role": "developer", "content": "a"}], "b")


@pytest.mark.parametrize("prompt", [5, {"role": "user"}, None, ["text"]])
def test_other_prompts_are_refused(prompt: Any) -> None:
    with pytest.raises(InvalidParameterError):
        messages_from(prompt)


def test_parts_are_joined_and_developer_is_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert normalize_messages(
        [{"role": "developer", "content": parts}, {"role": "assistant", "content": None}]
    ) == [{"role": "system", "content": "a\nb"}, {"role": "assistant", "content": ""}]


@pytest.mark.parametrize(
    ("content", "reasoning", "rest"),
    [
        ("<think>\nhm\n</think>\n\nyes", "hm", "yes"),
        ("hm\n</think>\nyes", "hm", "yes"),
        ("<think></think>yes", "", "yes"),
    ],
)
def test_thoughts_leave_the_content_of_an_assistant(
    content: str, reasoning: str, rest: str
) -> None:
    assert normalize_messages([{"role": "assistant", "content": content}]) == [
        {"role": "assistant", "content": rest, "reasoning_content": reasoning}
    ]


@pytest.mark.parametrize("content", ["say <think>x</think>", "<think>open", "plain"])
def test_other_content_of_an_assistant_stays(content: str) -> None:
    assert normalize_messages([{"role": "assistant", "content": content}]) == [
        {"role": "assistant", "content": content}
    ]


@pytest.mark.parametrize("arguments", [{"a": 1}, '{"a": 1}'])
def test_arguments_become_a_dict(arguments: object) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}

    (message,) = normalize_messages([{"role": "assistant", "tool_calls": [call]}])

    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    ]
    assert str(message["tool_calls"][0]["function"]["arguments"]) == '{"a": 1}'


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "robot", "content": "x"}, "messages[0] has the unknown role 'robot'"),
        ({"role": "user", "content": None}, "messages[0].content must be a string"),
        ({"role": "user"}, "messages[0].content must be a string"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text must"),
        ({"role": "user", "content": "x", "tool_calls": [1]}, "its role is 'user'"),
        ({"role": "user", "content": "x", "colour": "red"}, "unknown key 'colour'"),
        ({"role": "assistant", "tool_calls": [{}]}, "messages[0].tool_calls[0] is not a function"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]},
            "messages[0].tool_calls[0].function.arguments is not JSON",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]},
            "arguments must be an object",
        ),
        ("text", "messages[0] must be a dict"),
    ],
)
def test_a_malformed_message_is_named(message: Any, text: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        normalize_messages([message])

    assert text in str(caught.value)


def test_an_image_is_unsupported() -> None:
    part = {"type": "image_url", "image_url": {"url": "x"}}
    with pytest.raises(UnsupportedParameterError, match="'image_url'"):
        normalize_messages([{"role": "user", "content": [part]}])


def test_no_messages_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="empty"):
        normalize_messages([])


@pytest.mark.parametrize("tools", [[{}], ["f"], [{"function": {"name": ""}}], {"name": "f"}])
def test_malformed_tools_are_refused(tools: Any) -> None:
    with pytest.raises(InvalidParameterError, match="tools"):
        check_tools(tools)
