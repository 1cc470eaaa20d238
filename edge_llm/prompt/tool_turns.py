"""Turns with tool calls and their results, in the shape that one model's template can write.

Pure: normalized messages in, messages out; nothing given is changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edge_llm.prompt.calls.base import Layout, ParsedToolCall
from edge_llm.prompt.messages import Message

SHORT_ID_LENGTH = 9
"""Of the ids that Mistral's templates take; they refuse all others."""

_SHORT_ID = re.compile(f"[a-zA-Z0-9]{{{SHORT_ID_LENGTH}}}")
_INTRODUCTION = (
    "You can call tools. Each line between <tools> and </tools> describes one, with the JSON schema"
    " of its arguments:\n<tools>\n{tools}\n</tools>\n"
    "To call one, answer with its name and its arguments as JSON between tags, and nothing else"
    " before it:\n{sample}\n"
    "What it returns comes back to you between <tool_response> and </tool_response>. Call a tool"
    " only where it helps; otherwise answer in words."
)


def link_results(messages: Sequence[Message]) -> list[Message]:
    """Every call with an id, and every result with the id and the name of its call.

    Results that name no call are those of the calls before them, in order.
    """
    linked: list[Message] = []
    open_calls: dict[str, str] = {}
    for message in messages:
        if message.get("tool_calls"):
            calls = [
                {**call, "id": call.get("id") or f"call_{len(linked)}_{index}"}
                for index, call in enumerate(message["tool_calls"])
            ]
            open_calls = {call["id"]: call["function"]["name"] for call in calls}
            message = {**message, "tool_calls": calls}
        elif message["role"] == "tool":
            call_id = message.get("tool_call_id") or next(iter(open_calls), None)
            name = message.get("name") or open_calls.get(call_id or "")
            open_calls.pop(call_id or "", None)
            extra = {"tool_call_id": call_id, "name": name}
            message = {**message, **{k: v for k, v in extra.items() if v is not None}}
        linked.append(message)
    return linked


def short_ids(messages: Sequence[Message]) -> list[Message]:
    """The same with ids of nine letters and digits; other ids keep to one of those each."""
    changed: list[Message] = []
    for message in messages:
        copy = dict(message)
        if copy.get("tool_call_id"):
            copy["tool_call_id"] = _short_id(copy["tool_call_id"])
        if copy.get("tool_calls"):
            copy["tool_calls"] = [
                {**call, "id": _short_id(call.get("id", ""))} for call in copy["tool_calls"]
            ]
        changed.append(copy)
    return changed


def _short_id(call_id: str) -> str:
    if _SHORT_ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:SHORT_ID_LENGTH]


def one_call_a_turn(messages: Sequence[Message]) -> list[Message]:
    """Calls made together as one turn after the other, each with its result behind it."""
    split: list[Message] = []
    index = 0
    while index < len(messages):
        message = messages[index]
        index += 1
        calls = message.get("tool_calls") or []
        if len(calls) < 2:
            split.append(message)
            continue
        results: list[Message] = []
        while index < len(messages) and messages[index]["role"] == "tool":
            results.append(messages[index])
            index += 1
        split += _paired(message, results)
    return split


def _paired(message: Message, results: Sequence[Message]) -> Iterator[Message]:
    left = list(results)
    for number, call in enumerate(message["tool_calls"]):
        turn = {**message, "tool_calls": [call]}
        if number:
            turn = {"role": "assistant", "content": "", "tool_calls": [call]}
        yield turn
        mine = [one for one in left if one.get("tool_call_id") == call.get("id")]
        left = [one for one in left if one not in mine]
        yield from mine
    yield from left


def thoughts_under(messages: Sequence[Message], key: str) -> list[Message]:
    """The thoughts of turns that only call under another key as well."""
    return [
        {**message, key: message["reasoning_content"]}
        if message.get("tool_calls") and message.get("reasoning_content") and not message["content"]
        else message
        for message in messages
    ]


def calls_as_text(messages: Sequence[Message], layout: Layout) -> list[Message]:
    """Calls written into the content, for a template that would leave them out."""
    return [
        _with_calls_in_text(message, layout) if message.get("tool_calls") else message
        for message in messages
    ]


def _with_calls_in_text(message: Message, layout: Layout) -> Message:
    functions = [call["function"] for call in message["tool_calls"]]
    written = layout.write([ParsedToolCall(f["name"], f["arguments"]) for f in functions])
    copy = {key: value for key, value in message.items() if key != "tool_calls"}
    content = copy["content"]
    copy["content"] = f"{content}\n{written}" if content else written
    return copy


def results_as_user(messages: Sequence[Message]) -> list[Message]:
    """Results of tools as turns of the user, those of one turn together."""
    changed: list[Message] = []
    is_result = False
    for message in messages:
        if message["role"] != "tool":
            changed.append(message)
            is_result = False
            continue
        text = f"<tool_response>\n{message['content']}\n</tool_response>"
        if is_result:
            changed[-1] = {**changed[-1], "content": f"{changed[-1]['content']}\n{text}"}
        else:
            changed.append({"role": "user", "content": text})
        is_result = True
    return changed


def tools_in_system(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], layout: Layout
) -> list[Message]:
    """The tools described in the system message, for a template that has no place for them."""
    lines = "\n".join(json.dumps(function_of(tool), ensure_ascii=False) for tool in tools)
    sample = layout.write([ParsedToolCall("NAME", {"ARGUMENT": "VALUE"})])
    text = _INTRODUCTION.replace("{sample}", sample).replace("{tools}", lines)
    return _add_to_system(messages, {}, text)


def tools_beside_system(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
) -> list[Message]:
    """The tools as JSON text in the system message's own `tools`, as Phi-4-mini takes them."""
    text = json.dumps([function_of(tool) for tool in tools], ensure_ascii=False)
    return _add_to_system(messages, {"tools": text}, "")


def function_of(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a tool's definition says of its function."""
    function: Mapping[str, Any] = tool["function"]
    return function


def _add_to_system(
    messages: Sequence[Message], extra: Mapping[str, Any], text: str
) -> list[Message]:
    first, rest = {"role": "system", "content": ""}, list(messages)
    if rest and rest[0]["role"] == "system":
        first, rest = rest[0], rest[1:]
    content = "\n\n".join(part for part in (first["content"], text) if part)
    return [{**first, **extra, "content": content}, *rest]
