"""Calls as tags, each argument in tags of its own: text as it is, everything else as JSON."""

from __future__ import annotations

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
class TagLayout(Layout):
    """`section_open (call_open f name_end (key_open a key_end value value_end)* call_close)
    section_close`; the white space in these is written, and not looked for.
    """

    section_open: str = "<tool_call>\n"
    call_open: str = "<function="
    name_end: str = ">\n"
    key_open: str = "<parameter="
    key_end: str = ">\n"
    value_end: str = "\n</parameter>\n"
    call_close: str = "</function>"
    section_close: str = "\n</tool_call>"
    between_sections: str = "\n"

    @property
    def opens(self) -> tuple[str, ...]:
        """See `Layout.opens`; models leave the outer tag out at times."""
        opens = (self.section_open.strip(), self.call_open.strip())
        return tuple(text for text in opens if text)

    def close_after(self, opened_by: str) -> str:
        """See `Layout.close_after`."""
        close = self.section_close if opened_by == self.section_open.strip() else ""
        return (close or self.call_close).strip()

    def reader(self, opened_by: str, tools: Mapping[str, OfferedTool]) -> CallReader:
        """See `Layout.reader`."""
        return _TagReader(self, opened_by == self.section_open.strip(), tools)

    def write(self, calls: Sequence[ParsedToolCall], *, is_compact: bool = False) -> str:
        """See `Layout.write`."""
        return self.between_sections.join(
            f"{self.section_open}{self._spell(call, is_compact)}{self.section_close}"
            for call in calls
        )

    def _spell(self, call: ParsedToolCall, is_compact: bool) -> str:
        parameters = "".join(
            f"{self.key_open}{key}{self.key_end}{_spell_value(value, is_compact)}{self.value_end}"
            for key, value in call.arguments.items()
        )
        return f"{self.call_open}{call.name}{self.name_end}{parameters}{self.call_close}"


def _spell_value(value: Any, is_compact: bool) -> str:
    return value if isinstance(value, str) else dump_json(value, is_compact=is_compact)


def is_tag_key(name: str, end: str) -> bool:
    """Whether an argument of this name can be written before `end`, and read."""
    return bool(name) and name == name.strip() and end not in name


class _TagReader(ScriptReader):
    def __init__(
        self, layout: TagLayout, has_section: bool, tools: Mapping[str, OfferedTool]
    ) -> None:
        super().__init__()
        self._layout = layout
        self._has_section = has_section
        self._tools = tools

    def _read(self) -> Steps:
        layout = self._layout
        if self._has_section:
            yield from self._space()
            yield from self._expect(layout.call_open.strip())
        yield from self._call()
        if self._has_section:
            yield from self._close(layout.section_close.strip())

    def _call(self) -> Steps:
        layout = self._layout
        name = yield from self._word()
        yield from self._space()
        yield from self._expect(layout.name_end.strip())
        self._emit_start(name)
        types = _types(self._tools.get(name))
        arguments: dict[str, Any] = {}
        while True:
            yield from self._space()
            if not (yield from self._accept(layout.key_open.strip())):
                break
            key = (yield from self._until(layout.key_end.strip())).strip()
            if not key or key in arguments:
                raise NotACallError("an argument without a name of its own")
            value = _read_value((yield from self._value_text()), types.get(key))
            self._emit_text("," if arguments else "{")
            self._emit_text(f"{dump_json(key)}:{dump_json(value)}")
            arguments[key] = value
        yield from self._expect(layout.call_close.strip())
        self._emit_text("}" if arguments else "{}")
        self._emit_call(name, arguments)

    def _value_text(self) -> Generator[None, None, str]:
        """A value without the line breaks that belong to its tags."""
        layout = self._layout
        text = yield from self._until(layout.value_end.strip())
        if layout.key_end.endswith("\n"):
            text = text.removeprefix("\n")
        return text.removesuffix("\n") if layout.value_end.startswith("\n") else text


def _types(tool: OfferedTool | None) -> Mapping[str, frozenset[str]]:
    """The types that each argument may have, as far as the schema says plainly."""
    if tool is None or not isinstance(tool.parameters, Mapping):
        return {}
    properties = tool.parameters.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {key: json_types(schema) for key, schema in properties.items()}


def json_types(schema: object) -> frozenset[str]:
    """The JSON types that a schema admits; empty where it does not say."""
    if not isinstance(schema, Mapping):
        return frozenset()
    if "const" in schema or isinstance(schema.get("enum"), list):
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return frozenset("string" if isinstance(value, str) else "other" for value in values)
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    if isinstance(kind, list):
        return frozenset(one for one in kind if isinstance(one, str))
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            parts = [json_types(one) for one in schema[key]]
            return frozenset().union(*parts) if all(parts) else frozenset()
    return frozenset()


def _read_value(text: str, types: frozenset[str] | None) -> Any:
    """Text as it is where the tool takes text; else the JSON that it spells, if it spells any."""
    if types == frozenset({"string"}):
        return text
    try:
        value = load_json(_LITERALS.get(text.strip(), text))
    except NotACallError:
        return text
    # Of a number or a text, the schema decides; where it admits both, so does the spelling.
    return text if types and "string" in types and isinstance(value, str) else value


_LITERALS = {"True": "true", "False": "false", "None": "null"}
"""Python's spelling, which the template's own `string` filter writes."""
