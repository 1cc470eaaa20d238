"""Every text in a request, wherever it stands: a copy of JSON values with each text passed on.

Knows the shape of OpenAI's messages only as far as it must: what may not be changed, and what
cannot be searched. Whatever it does not know is searched like everything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edge_llm.errors import RedactionError

Visit = Callable[[str, str], str]
"""From a text and what it is called where it stands (`password`, or nothing) to its replacement."""

FIXED = frozenset({"role", "type"})
"""Members that are words of the protocol: a placeholder would make another request of it."""

_PROTOCOL = frozenset(
    {
        *(
            "role",
            "type",
            "text",
            "content",
            "name",
            "tool_calls",
            "tool_call_id",
            "id",
            "function",
        ),
        *("arguments", "system", "developer", "user", "assistant", "tool"),
    }
)
"""Words that need no look."""

MEDIA = frozenset(
    {"image_url", "input_image", "input_audio", "audio", "file", "input_file", "video_url"}
)

_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal", "reasoning", "thinking"})

_MAX_DEPTH = 64


def walk_message(message: Mapping[str, Any], visit: Visit, *, media: bool) -> dict[str, Any]:
    """A copy of one message with every text visited.

    Raises:
        RedactionError: a part that cannot be searched, unless `media` may pass; a placeholder where
            none can stand.
    """
    copy: dict[str, Any] = {}
    for key, value in message.items():
        if key == "content":
            copy[key] = _content(value, visit, media=media)
        elif key == "tool_calls" and isinstance(value, Sequence) and not isinstance(value, str):
            copy[key] = [_call(call, visit) for call in value]
        elif key == "name" and message.get("role") != "tool":
            # No placeholder is a valid name, and a message needs none.
            if isinstance(value, str) and visit(value, "") == value:
                copy[key] = value
        else:
            known = key if key in _PROTOCOL else visit(key, "")
            copy[known] = _fixed(value, visit) if key in FIXED else walk(value, visit)
    return copy


def walk_tool(tool: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """A copy of one tool's definition with every text visited; its name stays.

    Raises:
        RedactionError: the name holds what must not leave.
    """
    copy = walk(tool, visit)
    function, copied = tool.get("function"), copy.get("function")
    if isinstance(function, Mapping) and "name" in function and isinstance(copied, dict):
        copied["name"] = _fixed(function["name"], visit)
    return dict(copy)


def walk(value: Any, visit: Visit, name: str = "", depth: int = 0) -> Any:
    """A copy of a JSON value with every text in it visited, numbers and names of members too."""
    if depth > _MAX_DEPTH:
        raise RedactionError(f"a part of the request is nested more than {_MAX_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return visit(value, name)
    if isinstance(value, int | float):
        text = str(value)
        visited = visit(text, name)
        return value if visited == text else visited
    if isinstance(value, Mapping):
        return {
            visit(str(key), ""): walk(inner, visit, str(key), depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [walk(inner, visit, name, depth + 1) for inner in value]
    raise RedactionError(
        f"a part of the request is of type {type(value).__name__}, which is not JSON"
    )


def walk_json(text: str, visit: Visit) -> str:
    """A text that may be JSON: its texts visited one by one where it is, as they are read there.

    Escapes such as `\\u0040` would hide from rules that read the text as it is written.
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text, object_pairs_hook=_members)
        except (ValueError, RecursionError):
            return visit(text, "")
        walked = walk(value, visit)
        # Written anew only where something changed: spaces and the order of digits are the user's.
        return text if walked == value else json.dumps(walked, ensure_ascii=False)
    return visit(text, "")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        # Only one of them would be looked at, and both would leave.
        raise ValueError("a name twice")
    return members


def _content(content: Any, visit: Visit, *, media: bool) -> Any:
    if isinstance(content, str):
        return walk_json(content, visit)
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray):
        return walk(content, visit)
    return [_part(part, visit, media=media) for part in content]


def _part(part: Any, visit: Visit, *, media: bool) -> Any:
    if not isinstance(part, Mapping):
        return walk(part, visit)
    kind = part.get("type")
    if kind in _TEXT_PARTS:
        return {
            key: _fixed(value, visit)
            if key in FIXED
            else walk_json(value, visit)
            if isinstance(value, str)
            else walk(value, visit)
            for key, value in part.items()
        }
    if kind in MEDIA and media:
        return _media(part, visit)
    what = repr(kind) if kind in MEDIA else "unknown"
    raise RedactionError(
        f"a part of type {what} cannot be searched", hint="privacy.media, or the label 'allow'"
    )


def _media(value: Any, visit: Visit) -> Any:
    """A copy whose data passes as it is, and whose other texts are visited."""
    if isinstance(value, Mapping):
        return {
            key: inner if key in ("data", "file_data", *FIXED) else _media(inner, visit)
            for key, inner in value.items()
        }
    if isinstance(value, str) and value.startswith("data:"):
        return value
    return walk(value, visit)


def _call(call: Any, visit: Visit) -> Any:
    if not isinstance(call, Mapping):
        return walk(call, visit)
    copy: dict[str, Any] = {}
    for key, value in call.items():
        if key == "function" and isinstance(value, Mapping):
            copy[key] = {
                inner: _fixed(text, visit)
                if inner == "name"
                else walk_json(text, visit)
                if isinstance(text, str)
                else walk(text, visit)
                for inner, text in value.items()
            }
        else:
            copy[key] = _fixed(value, visit) if key in FIXED else walk(value, visit)
    return copy


def _fixed(value: Any, visit: Visit) -> Any:
    if not (isinstance(value, str) and value in _PROTOCOL) and walk(value, visit) != value:
        raise RedactionError("a name or role in the request holds what must not leave")
    return value
