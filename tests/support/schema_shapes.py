"""Whole JSON schemas in the shapes that are met: APIs, trees, unions, tables, contradictions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from tests.support.schema_parts import draw_names, draw_object, draw_schema
from tests.support.schema_values import (
    ENUM_VALUES,
    FORMATS,
    IRREGULAR_PATTERNS,
    ODD_NAMES,
    PATTERNS,
    Schema,
    annotate,
    draw_leaf,
    draw_number,
    draw_string,
)

Shape: TypeAlias = Callable[[random.Random], Schema]


def _closed(properties: Mapping[str, object], **more: object) -> Schema:
    """An object with all of these properties and no other."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def _api_object(rng: random.Random) -> Schema:
    names = draw_names(rng, 30)
    properties = {name: annotate(rng, draw_schema(rng, 1)) for name in names}
    needed = rng.sample(names, rng.randint(0, 12))
    return {"type": "object", "title": "Order", "properties": properties, "required": needed}


def _anything(rng: random.Random) -> Schema:
    return draw_schema(rng, 3)


def _nested(rng: random.Random) -> Schema:
    return draw_object(rng, 4, 4)


def _tree(rng: random.Random) -> Schema:
    children: Schema = {"type": "array", "items": {"$ref": "#"}}
    if rng.random() < 0.5:
        children["maxItems"] = 3
    return _closed({"value": draw_leaf(rng), "children": children})


def _linked_list(rng: random.Random) -> Schema:
    link: Schema = {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}
    node = _closed({"value": draw_number(rng), "next": link})
    return {"$ref": "#/$defs/Node", "$defs": {"Node": node}}


def _expression(rng: random.Random) -> Schema:
    """Two definitions that need each other, as an arithmetic of filters has."""
    operand = {"anyOf": [{"$ref": "#/$defs/literal"}, {"$ref": "#/$defs/operation"}]}
    operation = _closed(
        {
            "op": {"enum": ["and", "or", "not", "<", "≤"]},
            "args": {"type": "array", "items": operand, "minItems": 1, "maxItems": 2},
        }
    )
    literal = {"type": ["string", "number", "boolean", "null"]}
    schema: Schema = {"$defs": {"literal": literal, "operation": operation}}
    return schema | (operand if rng.random() < 0.5 else {"$ref": "#/$defs/operation"})


def _inheritance(rng: random.Random) -> Schema:
    base = draw_object(rng, 1, 3)
    base.pop("additionalProperties", None)
    extra = {"type": "object", "properties": {"extra": draw_leaf(rng)}, "required": ["extra"]}
    pointer = rng.choice(("#/$defs/Base", "#/$defs/a~1b%25", "#/components/schemas/Base"))
    schema: Schema = {"allOf": [{"$ref": pointer}, extra]}
    if pointer.startswith("#/components"):
        return schema | {"components": {"schemas": {"Base": base}}}
    return schema | {"$defs": {"Base" if pointer.endswith("Base") else "a/b%": base}}


def _python_model(rng: random.Random) -> Schema:
    """As Pydantic writes a model: optional fields, defaults, a nested model, an enum."""
    fields: Schema = {
        name: {
            "anyOf": [draw_leaf(rng), {"type": "null"}],
            "default": None,
            "title": name.title().replace("_", " "),
        }
        for name in draw_names(rng, 4)
    }
    fields["unit"] = {"$ref": "#/$defs/Unit", "default": "g", "description": "the unit"}
    fields["parts"] = {"type": "array", "items": {"$ref": "#/$defs/Part"}, "maxItems": 3}
    part = _closed({"name": draw_string(rng), "amount": draw_number(rng)}, title="Part")
    unit = {"enum": ["g", "ml", "piece"], "title": "Unit", "type": "string"}
    return {
        "$defs": {"Part": part, "Unit": unit},
        "properties": fields,
        "required": ["parts"],
        "title": "Recipe",
        "type": "object",
    }


def _odd_names(rng: random.Random) -> Schema:
    names = rng.sample(ODD_NAMES, 6)
    schema = _closed({name: draw_leaf(rng) for name in dict.fromkeys(names)})
    if rng.random() < 0.3:
        schema["additionalProperties"] = {"type": "integer"}
    return schema


def _patterns(rng: random.Random) -> Schema:
    pool = PATTERNS if rng.random() < 0.8 else IRREGULAR_PATTERNS
    return _closed(
        {
            name: {"type": "string", "pattern": rng.choice(pool)}
            for name in draw_names(rng, rng.randint(1, 3))
        }
    )


def _formats(rng: random.Random) -> Schema:
    return _closed({name: {"type": "string", "format": name} for name in rng.sample(FORMATS, 3)})


def _numbers(rng: random.Random) -> Schema:
    return _closed({name: draw_number(rng) for name in draw_names(rng, 5)})


def _enums(rng: random.Random) -> Schema:
    values = rng.sample(ENUM_VALUES, 8)
    return _closed({"one": {"enum": values}, "other": {"const": rng.choice(ENUM_VALUES)}})


def _nullable(rng: random.Random) -> Schema:
    spellings: tuple[Schema, ...] = (
        {"type": ["string", "null"], "maxLength": 12},
        {"anyOf": [{"type": "null"}, draw_leaf(rng)]},
        {"oneOf": [{"type": "null"}, {"type": "integer"}]},
        {"type": "integer", "nullable": True},
        {"enum": ["a", None]},
        {"type": ["object", "null"], "properties": {"a": {"type": "integer"}}, "maxProperties": 1},
        {"type": ["array", "null", "integer"], "items": {"type": "null"}, "maxItems": 2},
    )
    return _closed(dict(zip("abcd", rng.sample(spellings, 4), strict=True)))


def _tuples(rng: random.Random) -> Schema:
    fixed = [draw_leaf(rng) for _ in range(rng.randint(2, 5))]
    row: Schema = {"type": "array", "prefixItems": fixed, "minItems": len(fixed), "items": False}
    return {"type": "array", "items": row, "minItems": 1, "maxItems": 3}


def _map(rng: random.Random) -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": draw_leaf(rng)}
    rules: tuple[Schema, ...] = (
        {},
        {"propertyNames": {"pattern": "^[a-z_]{1,12}$"}},
        {"propertyNames": {"enum": ["kitchen", "hall", "bath"]}, "minProperties": 1},
        {"patternProperties": {"^S_": {"type": "string"}}, "additionalProperties": False},
        {"minProperties": 2, "maxProperties": 3},
        {"properties": {"kind": {"const": "map"}}, "required": ["kind"]},
    )
    return schema | rng.choice(rules)


def _conditions(rng: random.Random) -> Schema:
    kinds = ["card", "cash"]
    schema: Schema = _closed({"kind": {"enum": kinds}}, additionalProperties=True)
    schema["properties"] |= {"number": {"type": "string", "pattern": r"^\d{4}$"}}
    rules: tuple[Schema, ...] = (
        {"if": {"properties": {"kind": {"const": "card"}}}, "then": {"required": ["number"]}},
        {"dependentRequired": {"number": ["kind"]}},
        {"dependentSchemas": {"kind": {"properties": {"number": {"minLength": 4}}}}},
        {"not": {"properties": {"kind": {"const": "cash"}}, "required": ["number"]}},
        {"allOf": [{"if": {"required": ["number"]}, "then": {"properties": {"kind": True}}}]},
        {"unevaluatedProperties": False, "additionalProperties": False},
    )
    return schema | rng.choice(rules)


def _contradiction(rng: random.Random) -> Schema:
    """Nothing is valid, or only what looks as if it were not."""
    schemas: tuple[Schema, ...] = (
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 5},
        {"type": "string", "minLength": 5, "maxLength": 2},
        {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 1},
        _closed({"a": False}),
        {"type": "object", "properties": {}, "required": ["a"], "additionalProperties": False},
        {"type": "string", "enum": [1, 2]},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "string", "const": None},
        {"enum": []},
        {"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6},
        {"not": {}},
        {"type": "string", "pattern": "^a$", "enum": ["b"]},
        {"type": "number", "minimum": 1.5, "maximum": 1.5},
        {"type": "integer", "minimum": 1.5, "maximum": 1.9},
        _closed({"a": {"anyOf": [False, {"type": "integer", "minimum": 2, "maximum": 1}]}}),
        {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
        {"type": "array", "items": False, "minItems": 1},
    )
    chosen = rng.choice(schemas)
    return chosen if rng.random() < 0.7 else {"anyOf": [chosen, {"type": "boolean"}]}


def _open(rng: random.Random) -> Schema:
    """Next to nothing is said."""
    return rng.choice(
        (
            {},
            {"type": "object"},
            {"type": "object", "properties": {}},
            {"type": "array", "maxItems": 3},
            {"description": "anything"},
            _closed({"a": True, "b": {}}),
            {"properties": {"a": {"type": "integer"}}},
            {"items": {"type": "integer"}, "maxItems": 2},
            {"minimum": 3},
            {"required": ["a"]},
            {"type": ["object", "array", "string", "number", "boolean", "null"]},
        )
    )


def _call(rng: random.Random) -> Schema:
    """A tool call of a home: name, area and two bounded integers, in some order."""
    properties = {
        "name": {"enum": ["light_on", "light_off", "set_brightness", "set_temperature"]},
        "area": {"enum": ["kitchen", "living room", "bath", "Büro"]},
        "brightness": {"type": "integer", "minimum": 0, "maximum": 100},
        "minutes": {"type": "integer", "minimum": 1, "maximum": 1440},
    }
    keys = sorted(properties, key=lambda _: rng.random())
    return _closed({key: properties[key] for key in keys})


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "anything": _anything,
        "nested": _nested,
        "api_object": _api_object,
        "tree": _tree,
        "linked_list": _linked_list,
        "expression": _expression,
        "inheritance": _inheritance,
        "python_model": _python_model,
        "odd_names": _odd_names,
        "patterns": _patterns,
        "formats": _formats,
        "numbers": _numbers,
        "enums": _enums,
        "nullable": _nullable,
        "tuples": _tuples,
        "map": _map,
        "conditions": _conditions,
        "contradiction": _contradiction,
        "open": _open,
        "call": _call,
    }
)
