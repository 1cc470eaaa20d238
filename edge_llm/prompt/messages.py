"""Checks messages and tools and brings them into the one shape that chat templates expect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edge_llm.errors import InvalidParameterError, UnsupportedParameterError

Message = dict[str, Any]

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_KNOWN_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
"""The same thing as vLLM and DeepSeek, OpenRouter and Ollama call it."""


class JsonObject(dict[str, Any]):
    """A dict that prints as JSON: some templates print a call's arguments as they are."""

    def __str__(self) -> str:
        return json.dumps(self, ensure_ascii=False)


def messages_from(
    prompt: str | Sequence[Mapping[str, Any]], system: str | None = None
) -> list[Message]:
    """`prompt` as a list of messages: a string becomes one user message, `system` goes first.

    Raises:
        InvalidParameterError: `prompt` is neither, or both it and `system` give a system message.
    """
    if isinstance(prompt, Mapping) or not isinstance(prompt, Sequence):
        raise InvalidParameterError(
            f"a prompt is a string or a list of messages, not {type(prompt).__name__!r}"
        )
    given = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    messages: list[Message] = []
    for index, message in enumerate(given):
        if not isinstance(message, Mapping):
            raise InvalidParameterError(
                f"messages[{index}] must be a dict, not {type(message).__name__!r}"
            )
        messages.append(dict(message))
    if system is None:
        return messages
    if messages and messages[0].get("role") in ("system", "developer"):
        raise InvalidParameterError(
            "the messages already begin with a system message", hint="leave out system"
        )
    return [{"role": "system", "content": system}, *messages]


def normalize_messages(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Checked copies: known roles, content as one string, call arguments as a dict.

    An assistant's `<think>…</think>` moves from its content to `reasoning_content`.

    Raises:
        InvalidParameterError: a message is malformed; its index is in the text.
        UnsupportedParameterError: a content part is not text.
    """
    if isinstance(messages, str | Mapping) or not isinstance(messages, Sequence):
        raise InvalidParameterError(f"messages must be a list, not {type(messages).__name__!r}")
    if not messages:
        raise InvalidParameterError("messages is empty", hint="send at least one user message")
    return [_normalize(message, f"messages[{i}]") for i, message in enumerate(messages)]


def check_tools(tools: Sequence[Mapping[str, Any]]) -> None:
    """Refuse tools that are not a list of function definitions.

    Raises:
        InvalidParameterError: a definition is malformed; its index is in the text.
    """
    if isinstance(tools, str | Mapping) or not isinstance(tools, Sequence):
        raise InvalidParameterError(f"tools must be a list, not {type(tools).__name__!r}")
    for i, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not name:
            raise InvalidParameterError(
                f"tools[{i}] is not a function definition",
                hint='use {"type": "function", "function": {"name": …, "parameters": {…}}}',
            )


def _normalize(message: object, where: str) -> Message:
    if not isinstance(message, Mapping):
        raise InvalidParameterError(f"{where} must be a dict, not {type(message).__name__!r}")
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidParameterError(
            f"{where} has the unknown role {role!r}", hint="known: " + ", ".join(_ROLES)
        )
    _refuse_unknown_keys(message, where)
    result: Message = {"role": _ROLES[role], "content": _content(message, where)}
    for key in ("name", "tool_call_id"):
        if message.get(key) is not None:
            result[key] = _string(message[key], f"{where}.{key}")
    if role == "assistant":
        _add_reasoning(message, result, where)
        if message.get("tool_calls"):
            result["tool_calls"] = _tool_calls(message["tool_calls"], where)
    elif message.get("tool_calls"):
        raise InvalidParameterError(f"{where} has tool_calls, but its role is {role!r}")
    return result


def _refuse_unknown_keys(message: Mapping[str, Any], where: str) -> None:
    for key, value in message.items():
        # Clients send back what they received, empty fields such as `refusal` included.
        if key in _KNOWN_KEYS or key in _REASONING_KEYS or not value:
            continue
        if key in ("images", "audio"):
            raise UnsupportedParameterError(f"{where}.{key}: this model reads text only")
        raise InvalidParameterError(f"{where} has the unknown key {key!r}")


def _content(message: Mapping[str, Any], where: str) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None and message["role"] in ("assistant", "tool"):
        return ""
    if isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        parts = [_text_part(part, f"{where}.content[{i}]") for i, part in enumerate(content)]
        return "\n".join(parts)
    raise InvalidParameterError(
        f"{where}.content must be a string or a list of text parts, not {content!r}"
    )


def _text_part(part: object, where: str) -> str:
    if not isinstance(part, Mapping):
        raise InvalidParameterError(f"{where} must be a dict, not {type(part).__name__!r}")
    kind = part.get("type")
    if kind != "text":
        raise UnsupportedParameterError(
            f"{where} has the type {kind!r}: this model reads text only",
            hint='use {"type": "text", "text": …}',
        )
    return _string(part.get("text"), f"{where}.text")


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidParameterError(f"{where} must be a string, not {value!r}")
    return value


def _add_reasoning(message: Mapping[str, Any], result: Message, where: str) -> None:
    given = [(key, message[key]) for key in _REASONING_KEYS if message.get(key)]
    if given:
        key, value = given[0]
        result["reasoning_content"] = _string(value, f"{where}.{key}")
        return
    content: str = result["content"]
    head, close, rest = content.partition("</think>")
    before, _, reasoning = head.rpartition("<think>")
    # Only a block at the very start is the model's own; later it is quoted text.
    if close and not before.strip():
        result["reasoning_content"] = reasoning.strip("\n")
        result["content"] = rest.lstrip("\n")


def _tool_calls(calls: object, where: str) -> list[Message]:
    if not isinstance(calls, Sequence) or isinstance(calls, str | bytes):
        raise InvalidParameterError(f"{where}.tool_calls must be a list, not {calls!r}")
    return [_tool_call(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(calls)]


def _tool_call(call: object, where: str) -> Message:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise InvalidParameterError(
            f"{where} is not a function call",
            hint='use {"type": "function", "function": {"name": …, "arguments": …}}',
        )
    result: Message = {
        "type": "function",
        "function": {
            "name": _string(function.get("name"), f"{where}.function.name"),
            "arguments": _arguments(function.get("arguments"), f"{where}.function.arguments"),
        },
    }
    if call.get("id") is not None:
        result["id"] = _string(call["id"], f"{where}.id")
    return result


def _arguments(arguments: object, where: str) -> JsonObject:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as exc:
            raise InvalidParameterError(f"{where} is not JSON: {exc}") from exc
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise InvalidParameterError(f"{where} must be an object, not {arguments!r}")
    return JsonObject(arguments)
