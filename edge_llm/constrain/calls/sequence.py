"""Members in order, some of them optional, with a separator between those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_llm.constrain.grammar import Concat, Either, Part, Repeat


@dataclass(frozen=True, slots=True)
class Member:
    """One argument, key and value."""

    part: Part
    is_required: bool


def separated(members: Sequence[Member], separator: str) -> Part:
    """Any selection of the members that has all required ones, in order.

    Its size grows with the square of how many optional ones stand before the first required one.
    """
    options: list[Part] = []
    for index, member in enumerate(members):
        later = [_after(one, separator) for one in members[index + 1 :]]
        options.append(Concat((member.part, *later)))
        if member.is_required:
            break
    else:
        options.append("")
    return options[0] if len(options) == 1 else Either(tuple(options))


def _after(member: Member, separator: str) -> Part:
    part = Concat((separator, member.part))
    return part if member.is_required else Repeat(part, 0, 1)


def joined(members: Iterable[Member]) -> Part:
    """The members one after the other, with nothing between."""
    return Concat(tuple(m.part if m.is_required else Repeat(m.part, 0, 1) for m in members))


def properties_of(schema: Mapping[str, Any] | bool) -> dict[str, Any] | None:
    """The arguments that a schema names, each with a schema that stands alone.

    None where they are not simply listed: the schema is put together from others.
    """
    if not isinstance(schema, Mapping) or not _COMPOSED.isdisjoint(schema):
        return None
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        return None
    shared = {key: schema[key] for key in ("$defs", "definitions", "$schema") if key in schema}
    return {
        name: {**one, **{k: v for k, v in shared.items() if k not in one}}
        if isinstance(one, Mapping)
        else one
        for name, one in properties.items()
    }


def required_of(schema: Mapping[str, Any] | bool) -> frozenset[str]:
    """The arguments that must be there."""
    required = schema.get("required", ()) if isinstance(schema, Mapping) else ()
    if not isinstance(required, Sequence) or isinstance(required, str):
        return frozenset()
    return frozenset(name for name in required if isinstance(name, str))


_COMPOSED = frozenset({"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if"})
