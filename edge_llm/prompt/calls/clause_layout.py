"""Calls in Gemma's own notation: keys without quotes, and a token around each string."""

from __future__ import annotations

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

_BARE = re.compile(r"[^,:{}\[\]<]*")


@dataclass(frozen=True, slots=True)
class ClauseLayout(Layout):
    """`open call:f{a:<q>text<q>,b:1} close`; within the quote marks nothing is escaped."""

    open: str
    shut: str
    quote: str

    @property
    def opens(self) -> tuple[str, ...]:
        """See `Layout.opens`."""
        return (self.open,)

    def close_after(self, opened_by: str) -> str:
        """See `Layout.close_after`."""
        return self.shut

    def reader(self, opened_by: str, tools: Mapping[str, OfferedTool]) -> CallReader:
        """See `Layout.reader`."""
        return _ClauseReader(self)

    def write(self, calls: Sequence[ParsedToolCall], *, is_compact: bool = False) -> str:
        """See `Layout.write`."""
        return "".join(
            f"{self.open}call:{call.name}{self._spell(call.arguments)}{self.shut}" for call in calls
        )

    def _spell(self, value: Any) -> str:
        if isinstance(value, str):
            return f"{self.quote}{value}{self.quote}"
        if isinstance(value, Mapping):
            # The template sorts by key, so that a history reads as the answer did.
            members = (
                f"{spell_key(key, self.quote)}:{self._spell(value[key])}" for key in sorted(value)
            )
            return f"{{{','.join(members)}}}"
        if isinstance(value, list | tuple):
            return f"[{','.join(map(self._spell, value))}]"
        return dump_json(value)


def spell_key(name: str, quote: str) -> str:
    """A key as it is, or between quote marks where it could not be read otherwise."""
    is_bare = bool(name) and name == name.strip() and _BARE.fullmatch(name) is not None
    return name if is_bare else f"{quote}{name}{quote}"


class _ClauseReader(ScriptReader):
    def __init__(self, layout: ClauseLayout) -> None:
        super().__init__()
        self._layout = layout

    def _read(self) -> Steps:
        yield from self._space()
        yield from self._expect("call:")
        name = yield from self._word()
        self._emit_start(name)
        arguments = yield from self._members(is_live=True)
        self._emit_call(name, arguments)
        yield from self._close(self._layout.shut)

    def _members(self, *, is_live: bool = False) -> Generator[None, None, dict[str, Any]]:
        yield from self._expect("{")
        members: dict[str, Any] = {}
        yield from self._space()
        if (yield from self._accept("}")):
            if is_live:
                self._emit_text("{}")
            return members
        while True:
            yield from self._space()
            key = yield from self._key()
            if key in members:
                raise NotACallError("a key stands twice")
            yield from self._expect(":")
            value = yield from self._any_value()
            if is_live:
                self._emit_text("," if members else "{")
                self._emit_text(f"{dump_json(key)}:{dump_json(value)}")
            members[key] = value
            yield from self._space()
            if not (yield from self._accept(",")):
                break
        yield from self._expect("}")
        if is_live:
            self._emit_text("}")
        return members

    def _key(self) -> Generator[None, None, str]:
        if (yield from self._accept(self._layout.quote)):
            return (yield from self._until(self._layout.quote))
        key = (yield from self._run(_BARE)).strip()
        if not key:
            self._fail("a key")
        return key

    def _any_value(self) -> Generator[None, None, Any]:
        yield from self._space()
        if (yield from self._accept(self._layout.quote)):
            return (yield from self._until(self._layout.quote))
        first = yield from self._peek()
        if first == "{":
            return (yield from self._members())
        if first == "[":
            return (yield from self._items())
        return load_json((yield from self._run(_BARE)).strip())

    def _items(self) -> Generator[None, None, list[Any]]:
        yield from self._expect("[")
        items: list[Any] = []
        yield from self._space()
        if (yield from self._accept("]")):
            return items
        while True:
            items.append((yield from self._any_value()))
            yield from self._space()
            if not (yield from self._accept(",")):
                break
        yield from self._expect("]")
        return items
