"""The arguments that a schema names, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_llm.constrain.grammar import Part, Selection


@dataclass(frozen=True, slots=True)
class Member:
    """One argument, key and value."""

    part: Part
    is_required: bool


def selection(members: Iterable[Member], separator: str = "") -> Part:
    """Any selection of the members that has all required ones, in order."""
    found = tuple(members)
    return Selection(
        tuple(one.part for one in found), tuple(one.is_required for one in found), separator
    )


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
