"""Older drafts and OpenAPI in the words of draft 2020-12: one schema at a time."""

from __future__ import annotations

from typing import Any, TypeAlias

from edge_llm.constrain import keywords

Schema: TypeAlias = dict[str, Any] | bool
"""A schema that was walked: new objects, JSON values only."""


def in_one_draft(found: dict[str, Any], *, nullable: bool) -> Schema:
    """The schema in the words of 2020-12; `found` is used up.

    One that speaks of properties, items, lengths or bounds without naming a type means that type:
    by the letter it would let through every value of all others.
    """
    _rename_items(found)
    _rename_bounds(found)
    _add_type(found)
    if found.get("enum") == []:
        return False
    return {"anyOf": [found, {"type": "null"}]} if nullable else found


def _rename_items(found: dict[str, Any]) -> None:
    rest = found.pop("additionalItems", None)
    if isinstance(found.get("items"), list):
        found["prefixItems"] = found.pop("items")
        if rest is not None:
            found["items"] = rest


def _rename_bounds(found: dict[str, Any]) -> None:
    """Draft 4 says by true or false whether a bound itself is outside."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(found.get(exclusive), bool) and found.pop(exclusive) and bound in found:
            found[exclusive] = found.pop(bound)


def _add_type(found: dict[str, Any]) -> None:
    if not found.keys().isdisjoint(("type", "$ref", "const", "enum", *keywords.IN_PLACE)):
        return
    types = [name for name, words in keywords.OF_TYPE.items() if not words.isdisjoint(found)]
    if len(types) == 1:
        found["type"] = types[0]
