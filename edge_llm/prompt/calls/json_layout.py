"""Calls as JSON objects that hold the name and the arguments: one, or a list of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_llm.prompt.calls.base import (
    CallReader,
    Layout,
    NotACallError,
    OfferedTool,
    ParsedToolCall,
)
from edge_llm.prompt.calls.script import ScriptReader, Steps, dump_json, load_json, load_object

_ARGUMENTS = ("arguments", "parameters")
_KEYS = frozenset({*_ARGUMENTS, "name", "type", "id"})


@dataclass(frozen=True, slots=True)
class JsonLayout(Layout):
    """`open {"name": "f", "arguments": {…}} close`."""

    open: str
    shut: str = ""
    arguments: str = "arguments"
    """What the member with the arguments is called."""
    is_list: bool = False
    """Whether all calls stand in one JSON list; else each has a section of its own."""
    between_sections: str = "\n"
    more_opens: tuple[str, ...] = ()

    @property
    def opens(self) -> tuple[str, ...]:
        """See `Layout.opens`."""
        return tuple(text for text in (self.open.strip(), *self.more_opens) if text)

    def close_after(self, opened_by: str) -> str:
        """See `Layout.close_after`."""
        return self.shut.strip()

    def reader(self, opened_by: str, tools: Mapping[str, OfferedTool]) -> CallReader:
        """See `Layout.reader`."""
        # A family without markers begins with the brace of the call itself.
        text = "{" if opened_by.endswith("{") else ""
        return _JsonReader(self.shut.strip(), text, only_known=bool(text))

    def write(self, calls: Sequence[ParsedToolCall], *, is_compact: bool = False) -> str:
        """See `Layout.write`."""
        spelled = [self._spell(call, is_compact) for call in calls]
        if self.is_list:
            return f"{self.open}[{', '.join(spelled)}]{self.shut}"
        return self.between_sections.join(f"{self.open}{one}{self.shut}" for one in spelled)

    def _spell(self, call: ParsedToolCall, is_compact: bool) -> str:
        arguments = dump_json(call.arguments, is_compact=is_compact)
        return f'{{"name": {dump_json(call.name)}, "{self.arguments}": {arguments}}}'


class _JsonReader(ScriptReader):
    def __init__(self, close: str, text: str, *, only_known: bool) -> None:
        super().__init__(text)
        self._close_text = close
        self._only_known = only_known

    def _read(self) -> Steps:
        yield from self._space()
        if (yield from self._accept("[")):
            yield from self._calls()
        else:
            yield from self._call()
        yield from self._close(self._close_text)

    def _calls(self) -> Steps:
        while True:
            yield from self._space()
            yield from self._call()
            yield from self._space()
            if not (yield from self._accept(",")):
                yield from self._expect("]")
                return

    def _call(self) -> Steps:
        """One object; its name is told as soon as it stands there, and so are its arguments."""
        start = self._at
        name: str | None = None
        arguments: str | None = None
        yield from self._expect("{")
        while True:
            yield from self._space()
            key = load_json((yield from self._string()))
            if self._only_known and key not in _KEYS:
                raise NotACallError(f"a call has no {key!r}")
            yield from self._space()
            yield from self._expect(":")
            yield from self._space()
            if key in _ARGUMENTS:
                is_object = (yield from self._peek()) == "{"
                is_live = is_object and name is not None
                text = yield from (self._container(is_live=is_live) if is_object else self._value())
                arguments = _arguments_text(text)
                if name is not None and not is_live:
                    self._emit_text(arguments)
            else:
                text = yield from self._value()
                if key == "name":
                    name = _name(text)
                    self._emit_start(name)
                    self._emit_text(arguments or "")
            yield from self._space()
            if not (yield from self._accept(",")):
                yield from self._expect("}")
                break
        load_object(self._text[start : self._at])
        if name is None:
            raise NotACallError("a call without a name")
        if arguments is None:
            arguments = "{}"
            self._emit_text(arguments)
        self._emit_call(name, load_object(arguments))


def _name(text: str) -> str:
    name = load_json(text)
    if not isinstance(name, str):
        raise NotACallError("a name that is no text")
    return name


def _arguments_text(text: str) -> str:
    """The JSON text of the arguments: some models write it into a string, or nothing at all."""
    value = load_json(text)
    if value is None or value == "":
        return "{}"
    if isinstance(value, str):
        load_object(value)
        return value
    if not isinstance(value, dict):
        raise NotACallError("arguments that are no object")
    return text
