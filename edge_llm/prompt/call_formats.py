"""How model families spell tool calls: the markers around them and what stands between.

Source: the chat templates of Qwen2.5 and Hermes (JSON), and of LFM2 (a list of Python calls).
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn


@dataclass(frozen=True, slots=True)
class ParsedToolCall:
    """One whole call, as the model wrote it: neither the name nor the arguments are validated."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallFormat:
    """One way to spell calls."""

    open: str
    close: str
    parse: Callable[[str], list[ParsedToolCall]]
    """The calls that a text between the markers spells; none where it does not spell any."""


def parse_json_call(body: str) -> list[ParsedToolCall]:
    """`{"name": "f", "arguments": {"a": 1}}`."""
    call = _load_json(body)
    if not isinstance(call, dict):
        return []
    name = call.get("name")
    arguments = call.get("arguments", call.get("parameters"))
    if arguments is None or arguments == "":
        arguments = {}
    elif isinstance(arguments, str):
        arguments = _load_json(arguments)
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return []
    return [ParsedToolCall(name, arguments)]


def parse_python_calls(body: str) -> list[ParsedToolCall]:
    """`[f(a=1, b="two"), g()]`; nothing is evaluated but literals."""
    try:
        tree = ast.parse(body.strip(), mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List) else [tree]
        return [_read_call(node) for node in nodes]
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        # MemoryError is what Python's parser raises for brackets nested too deep.
        return []


JSON_CALLS = CallFormat("<tool_call>", "</tool_call>", parse_json_call)
PYTHON_CALLS = CallFormat("<|tool_call_start|>", "<|tool_call_end|>", parse_python_calls)
CALL_FORMATS = (JSON_CALLS, PYTHON_CALLS)

_LITERALS = {"true": True, "false": False, "null": None}
"""JSON's spelling, which models mix with Python's."""


def _read_call(node: ast.expr) -> ParsedToolCall:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with named arguments")
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("not the arguments of a call")
        arguments[keyword.arg] = _read_value(keyword.value)
    return ParsedToolCall(_dotted_name(node.func), arguments)


def _dotted_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise ValueError("not the name of a function")


def _read_value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in _LITERALS:
        return _LITERALS[node.id]
    if isinstance(node, ast.List):
        return [_read_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {
            _read_key(key): _read_value(v) for key, v in zip(node.keys, node.values, strict=True)
        }
    value = ast.literal_eval(node)
    if value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError(f"{type(value).__name__} is not a JSON value")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("JSON has no infinity")
    return value


def _read_key(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise ValueError("not a key of a JSON object")


def _load_json(text: str) -> object:
    """The value that `text` spells in strict JSON, or None."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name!r} is not JSON")
