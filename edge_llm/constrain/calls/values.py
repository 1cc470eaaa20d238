"""Arguments that are not written as one JSON object: each by a grammar of its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from edge_llm.constrain.calls.sequence import Member, properties_of, required_of, selection
from edge_llm.constrain.calls.spelling import concat, spell
from edge_llm.constrain.grammar import (
    Choice,
    Either,
    JsonObject,
    JsonSchema,
    Marker,
    Part,
    Regex,
    Repeat,
    Until,
)
from edge_llm.prompt.calls.clause_layout import spell_key
from edge_llm.prompt.calls.tag_layout import json_types

MAX_DEPTH = 8
"""Of objects in objects, where they are not JSON; deeper ones are checked afterwards."""


def json_value(schema: Any, *, strict: bool = False) -> JsonSchema:
    """A value as JSON text."""
    return JsonSchema(schema if isinstance(schema, Mapping | bool) else True, strict)


def json_object(schema: Mapping[str, Any] | bool, *, strict: bool) -> JsonSchema | JsonObject:
    """All arguments as one JSON object, with those alone that the schema names, if it names any.

    A schema that says nothing of others admits them; a model that makes some up means no good.
    """
    if not isinstance(schema, Mapping):
        return JsonObject()
    if _COMPOSED.isdisjoint(schema):
        schema = {"type": "object", **schema}
        if "properties" in schema and _OPEN.isdisjoint(schema):
            schema = {**schema, "additionalProperties": False}
    return JsonSchema(schema, strict)


def text_choices(schema: Any) -> tuple[str, ...] | None:
    """The texts of which a value is one; None where it is not one of a list of texts."""
    if not isinstance(schema, Mapping):
        return None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or not values:
        return None
    return tuple(values) if all(isinstance(value, str) for value in values) else None


def tagged_value(schema: Any, end: str) -> Part:
    """A value up to its closing tag: text as it is, everything else as JSON."""
    choices = text_choices(schema)
    if choices is not None:
        fitting = tuple(one for one in choices if end not in one)
        return concat(Choice(fitting or choices), end)
    types = json_types(schema)
    if not types or "string" in types:
        # Text without bounds: the grammar says where it ends, its schema is checked afterwards.
        return Until(end)
    return concat(json_value(schema), end)


def clause_value(schema: Any, quote: str, depth: int = 0) -> Part:
    """A value in Gemma's notation: text between quote marks that nothing escapes."""
    mark = Marker(quote)
    choices = text_choices(schema)
    if choices is not None:
        return concat(mark, Choice(choices), mark)
    if isinstance(schema, Mapping) and isinstance(schema.get("enum"), list):
        return _either(_clause_constant(value, quote) for value in schema["enum"])
    types = json_types(schema)
    if not types:
        types = _types_by_keywords(schema)
    return _either(_clause_of_type(kind, schema, quote, depth) for kind in sorted(types))


def clause_members(schema: Mapping[str, Any] | bool, quote: str, depth: int = 0) -> Part:
    """The members of an object in Gemma's notation, in the order of their names."""
    properties = properties_of(schema)
    if not properties or depth > MAX_DEPTH:
        return _free_members(quote) if properties is None or depth > MAX_DEPTH else ""
    required = required_of(schema)
    members = [
        Member(concat(spell(f"{spell_key(name, quote)}:", (quote,)),
                      clause_value(properties[name], quote, depth + 1)), name in required)
        for name in sorted(properties)
    ]  # fmt: skip
    return selection(members, ",")


def _clause_of_type(kind: str, schema: Any, quote: str, depth: int) -> Part:
    if kind == "string":
        return concat(Marker(quote), Until(Marker(quote)))
    if kind == "object":
        is_object = isinstance(schema, Mapping)
        return concat("{", clause_members(schema if is_object else {}, quote, depth + 1), "}")
    if kind == "array":
        return _clause_array(schema, quote, depth)
    if isinstance(schema, Mapping):
        return json_value({**schema, "type": kind})
    return json_value({"type": kind})


def _clause_array(schema: Any, quote: str, depth: int) -> Part:
    items = schema.get("items", {}) if isinstance(schema, Mapping) else {}
    low = schema.get("minItems", 0) if isinstance(schema, Mapping) else 0
    high = schema.get("maxItems") if isinstance(schema, Mapping) else None
    item: Part = _free_scalar(quote) if depth > MAX_DEPTH else clause_value(items, quote, depth + 1)
    is_count = isinstance(low, int) and (high is None or isinstance(high, int))
    bounds = (low, high) if is_count and low <= 1000 and (high or 0) <= 1000 else (0, None)
    return concat("[", Repeat(item, *bounds, separator=","), "]")


def _clause_constant(value: Any, quote: str) -> Part:
    if isinstance(value, str):
        return (
            concat(Marker(quote), value, Marker(quote))
            if value
            else concat(Marker(quote), Marker(quote))
        )
    return json.dumps(value)


def _types_by_keywords(schema: Any) -> frozenset[str]:
    if isinstance(schema, Mapping) and "properties" in schema:
        return frozenset({"object"})
    if isinstance(schema, Mapping) and "items" in schema:
        return frozenset({"array"})
    return frozenset({"string", "number", "boolean", "null"})


def _free_scalar(quote: str) -> Part:
    return _either(
        _clause_of_type(kind, None, quote, 0) for kind in ("boolean", "null", "number", "string")
    )


def _free_members(quote: str) -> Part:
    """Any members with plain values: nothing is known of them, or too much."""
    return Repeat(concat(Regex(r"[A-Za-z_]\w*"), ":", _free_scalar(quote)), separator=",")


def _either(parts: Iterable[Part]) -> Part:
    options = tuple(parts)
    return options[0] if len(options) == 1 else Either(options)


_OPEN = frozenset({"additionalProperties", "patternProperties", "unevaluatedProperties"})
_COMPOSED = frozenset({"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf"})
