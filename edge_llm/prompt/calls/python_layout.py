"""Calls as Python would write them; nothing is evaluated but literals."""

from __future__ import annotations

import ast
import contextlib
import math
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_llm.prompt.calls.base import (
    CallReader,
    Layout,
    NotACallError,
    OfferedTool,
    ParsedToolCall,
)
from edge_llm.prompt.calls.script import ScriptReader, Steps, dump_json, load_json


@dataclass(frozen=True, slots=True)
class PythonLayout(Layout):
    """`open [f(a=1, b="two"), g()] close`."""

    open: str
    shut: str
    is_list: bool = True
    """Whether the calls stand in one list; else each has a section of its own."""
    comma: str = ", "
    """Between arguments and between calls."""
    sorts: bool = False
    """Whether arguments are written in the order of their names."""
    name_suffix: str = ""
    """What follows the name of a function and is not part of it."""

    @property
    def opens(self) -> tuple[str, ...]:
        """See `Layout.opens`."""
        return (self.open.strip(),)

    def close_after(self, opened_by: str) -> str:
        """See `Layout.close_after`."""
        return self.shut.strip()

    def reader(self, opened_by: str, tools: Mapping[str, OfferedTool]) -> CallReader:
        """See `Layout.reader`."""
        return _PythonReader(self)

    def write(self, calls: Sequence[ParsedToolCall], *, is_compact: bool = False) -> str:
        """See `Layout.write`."""
        spelled = [self._spell(call, is_compact) for call in calls]
        if self.is_list:
            return f"{self.open}[{self.comma.join(spelled)}]{self.shut}"
        return "\n".join(f"{self.open}{one}{self.shut}" for one in spelled)

    def _spell(self, call: ParsedToolCall, is_compact: bool) -> str:
        items = sorted(call.arguments.items()) if self.sorts else call.arguments.items()
        arguments = (f"{key}={dump_json(value, is_compact=is_compact)}" for key, value in items)
        return f"{call.name}{self.name_suffix}({self.comma.join(arguments)})"


_KEY = re.compile(r"""[^\s=,()\[\]{}"']*""")
_STOP = re.compile(r"""["'()\[\]{},]""")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_LITERALS = {"true": True, "false": False, "null": None}
"""JSON's spelling, which models mix with Python's."""


def is_key(name: str) -> bool:
    """Whether an argument of this name can be written and read; Python's own rule is narrower."""
    return bool(name) and _KEY.fullmatch(name) is not None


class _PythonReader(ScriptReader):
    def __init__(self, layout: PythonLayout) -> None:
        super().__init__()
        self._layout = layout

    def _read(self) -> Steps:
        yield from self._space()
        is_list = yield from self._accept("[")
        while True:
            yield from self._space()
            yield from self._call()
            yield from self._space()
            if not (is_list and (yield from self._accept(","))):
                break
        if is_list:
            yield from self._expect("]")
        yield from self._close(self._layout.shut.strip())

    def _call(self) -> Steps:
        name = (yield from self._word()).removesuffix(self._layout.name_suffix)
        yield from self._space()
        yield from self._expect("(")
        self._emit_start(name)
        arguments: dict[str, Any] = {}
        while True:
            yield from self._space()
            if (yield from self._accept(")")):
                break
            key, value = yield from self._argument()
            if key in arguments:
                raise NotACallError("an argument stands twice")
            self._emit_text("," if arguments else "{")
            self._emit_text(f"{dump_json(key)}:{dump_json(value)}")
            arguments[key] = value
            if not (yield from self._accept(",")):
                yield from self._expect(")")
                break
        self._emit_text("}" if arguments else "{}")
        self._emit_call(name, arguments)

    def _argument(self) -> Generator[None, None, tuple[str, Any]]:
        key = yield from self._run(_KEY)
        if not key:
            self._fail("the name of an argument")
        yield from self._space()
        yield from self._expect("=")
        start = self._at
        yield from self._pass_expression()
        return key, _read_literal(self._text[start : self._at])

    def _pass_expression(self) -> Steps:
        """Go to the comma or bracket that ends a value."""
        open_brackets: list[str] = []
        while True:
            while (found := _STOP.search(self._text, self._at)) is None:
                self._at = len(self._text)
                yield from self._more()
            self._at = found.start()
            char = found[0]
            if char in "\"'":
                yield from self._pass_string(char)
                continue
            if not open_brackets and char in ",)":
                return
            self._at += 1
            if char in _CLOSERS:
                open_brackets.append(_CLOSERS[char])
            elif char != "," and (not open_brackets or open_brackets.pop() != char):
                self._fail("an opening bracket")

    def _pass_string(self, quote: str) -> Steps:
        self._at += 1
        while True:
            char = yield from self._peek()
            if not char or char == "\n":
                self._fail("the end of a string")
            self._at += 1
            if char == quote:
                return
            if char == "\\":
                yield from self._peek()
                self._at += 1


def _read_literal(text: str) -> Any:
    """A value in JSON's spelling, whose escapes are not quite Python's, or else in Python's."""
    with contextlib.suppress(NotACallError):
        return load_json(text)
    try:
        return _read_value(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError) as exc:
        # MemoryError is what Python's parser raises for brackets nested too deep.
        raise NotACallError(f"not a literal: {type(exc).__name__}") from exc


def _read_value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in _LITERALS:
        return _LITERALS[node.id]
    if isinstance(node, ast.List):
        return [_read_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        pairs = [
            (_read_key(key), _read_value(v)) for key, v in zip(node.keys, node.values, strict=True)
        ]
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)
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
