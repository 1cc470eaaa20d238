"""What may stand between the markers of a section of calls, layout by layout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import singledispatch

from edge_llm.constrain.calls.sequence import (
    Member,
    properties_of,
    required_of,
    selection,
)
from edge_llm.constrain.calls.spelling import concat, spell
from edge_llm.constrain.calls.values import (
    clause_members,
    json_object,
    json_value,
    tagged_value,
)
from edge_llm.constrain.grammar import Either, Part, Regex, Repeat
from edge_llm.constrain.references import escape
from edge_llm.constrain.schema import prepare_schema
from edge_llm.errors import GrammarError, UnsupportedSchemaError
from edge_llm.prompt.calls.base import EitherLayout, Layout, OfferedTool
from edge_llm.prompt.calls.clause_layout import ClauseLayout
from edge_llm.prompt.calls.json_layout import JsonLayout
from edge_llm.prompt.calls.named_layout import NamedLayout
from edge_llm.prompt.calls.python_layout import PythonLayout, is_key
from edge_llm.prompt.calls.tag_layout import TagLayout, is_tag_key


@dataclass(frozen=True, slots=True)
class Section:
    """One section as a grammar has it."""

    opening: tuple[Part, ...]
    """Its marker; empty for a family that has none."""
    body: Part
    """Calls and what closes them."""


@singledispatch
def section_of(
    layout: Layout, tools: Sequence[OfferedTool], markers: Sequence[str], most: int | None
) -> Section:
    """A section with one call of one of the tools, or up to `most` where it may hold several.

    Raises:
        GrammarError: no grammar is known for the layout.
    """
    raise GrammarError(f"no grammar is known for {type(layout).__name__}")


@section_of.register
def _(
    layout: EitherLayout, tools: Sequence[OfferedTool], markers: Sequence[str], most: int | None
) -> Section:
    return section_of(layout.layouts[0], tools, markers, most)


@section_of.register
def _(
    layout: JsonLayout, tools: Sequence[OfferedTool], markers: Sequence[str], most: int | None
) -> Section:
    calls = _either(
        concat(
            f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "{layout.arguments}": ',
            json_object(tool.parameters, strict=tool.strict),
            "}",
        )
        for tool in tools
    )
    opening, inner = _split_opening(layout.open, markers)
    if layout.is_list:
        calls = concat("[", Repeat(calls, 1, most, separator=", "), "]")
    return Section(opening, concat(inner, calls, spell(layout.shut, markers)))


@section_of.register
def _(
    layout: NamedLayout, tools: Sequence[OfferedTool], markers: Sequence[str], most: int | None
) -> Section:
    between, item_close = spell(layout.between, markers), spell(layout.item_close, markers)
    calls = _either(
        concat(tool.name, between, json_object(tool.parameters, strict=tool.strict), item_close)
        for tool in tools
    )
    item = spell(layout.item_open, markers)
    opening, inner = _split_opening(layout.section_open or layout.item_open, markers)
    if not layout.section_open:
        return Section(opening, concat(inner, calls))
    later = Repeat(concat(layout.separator, item, calls), 0, None if most is None else most - 1)
    close = spell(layout.section_close, markers)
    return Section(opening, concat(inner, item, calls, later, close))


@section_of.register
def _(
    layout: PythonLayout, tools: Sequence[OfferedTool], markers: Sequence[str], most: int | None
) -> Section:
    _refuse_if_strict(tools)
    calls = _either(
        concat(f"{tool.name}{layout.name_suffix}(", _keywords(layout, tool), ")") for tool in tools
    )
    opening, inner = _split_opening(layout.open, markers)
    if layout.is_list:
        calls = concat("[", Repeat(calls, 1, most, separator=layout.comma), "]")
    return Section(opening, concat(inner, calls, spell(layout.shut, markers)))


def _keywords(layout: PythonLayout, tool: OfferedTool) -> Part:
    properties = properties_of(tool.parameters)
    if properties is None:
        keyword = concat(Regex(r"[A-Za-z_]\w*="), json_value(True))
        return Repeat(keyword, separator=layout.comma)
    names = sorted(properties) if layout.sorts else list(properties)
    required = required_of(tool.parameters)
    members = [
        Member(
            concat(f"{name}=", json_value(properties[name], strict=tool.strict)), name in required
        )
        for name in names
        if _can_spell(name, is_key(name), name in required)
    ]
    return selection(members, layout.comma)


@section_of.register
def _(
    layout: TagLayout, tools: Sequence[OfferedTool], markers: Sequence[str], most: int | None
) -> Section:
    _refuse_if_strict(tools)
    calls = _either(
        concat(
            f"{tool.name}{layout.name_end}", _tags(layout, tool), spell(layout.call_close, markers)
        )
        for tool in tools
    )
    opening, inner = _split_opening(layout.section_open or layout.call_open, markers)
    if layout.section_open:
        inner = (*inner, *spell(layout.call_open, markers))
    return Section(opening, concat(inner, calls, spell(layout.section_close, markers)))


def _tags(layout: TagLayout, tool: OfferedTool) -> Part:
    properties = properties_of(tool.parameters)
    if properties is None:
        key = concat(layout.key_open, Regex(r"[A-Za-z_]\w*"), layout.key_end)
        return Repeat(concat(key, tagged_value({}, layout.value_end)))
    required = required_of(tool.parameters)
    end = layout.key_end.strip()
    return selection(
        Member(
            concat(
                f"{layout.key_open}{name}{layout.key_end}",
                tagged_value(schema, layout.value_end),
            ),
            name in required,
        )
        for name, schema in properties.items()
        if _can_spell(name, is_tag_key(name, end), name in required)
    )


@section_of.register
def _(
    layout: ClauseLayout, tools: Sequence[OfferedTool], markers: Sequence[str], most: int | None
) -> Section:
    _refuse_if_strict(tools)
    calls = _either(
        concat(f"call:{tool.name}{{", clause_members(tool.parameters, layout.quote), "}")
        for tool in tools
    )
    return Section(spell(layout.open, markers), concat(calls, spell(layout.shut, markers)))


def _can_spell(name: str, is_key: bool, is_required: bool) -> bool:
    """Whether an argument is offered: one whose name the family cannot write is left out.

    Raises:
        UnsupportedSchemaError: no call can do without it.
    """
    if is_key or not is_required:
        return is_key
    why = f"this model's calls cannot spell the name {name!r}"
    hint = "rename it, or take another model"
    raise UnsupportedSchemaError(f"#/properties/{escape(name)}", "properties", why, hint=hint)


def _refuse_if_strict(tools: Iterable[OfferedTool]) -> None:
    """Strict tools, where the layout does not write their arguments by one JSON schema."""
    for tool in tools:
        if tool.strict:
            prepare_schema(tool.parameters, strict=True)


def _split_opening(text: str, markers: Sequence[str]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """The first marker, or all the text where there is none; and what follows it."""
    parts = spell(text, markers)
    if not parts:
        return (), ()
    if isinstance(parts[0], str):
        # White space after a marker that is text may be left out, or be more.
        stripped = parts[0].rstrip()
        rest = (parts[0][len(stripped) :],) if len(stripped) < len(parts[0]) else ()
        return (stripped,), (*rest, *parts[1:])
    return parts[:1], parts[1:]


def _either(parts: Iterable[Part]) -> Part:
    options = tuple(parts)
    return options[0] if len(options) == 1 else Either(options)
