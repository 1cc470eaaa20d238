"""JSON schemas with parts: objects, arrays, mixtures of alternatives, each drawn from a seed."""

from __future__ import annotations

import random
from typing import Any

from tests.support.schema_values import (
    NAMES,
    ODD_NAMES,
    Schema,
    annotate,
    draw_leaf,
    draw_string,
)


def draw_schema(rng: random.Random, depth: int) -> Schema:
    """Any schema of at most that depth, with notes here and there."""
    kind = rng.random()
    if depth <= 0 or kind < 0.4:
        schema = draw_leaf(rng)
    elif kind < 0.7:
        schema = draw_object(rng, depth, rng.randint(0, 6))
    elif kind < 0.85:
        schema = draw_array(rng, depth)
    else:
        schema = draw_mixture(rng, depth)
    return annotate(rng, schema) if rng.random() < 0.4 else schema


def draw_names(rng: random.Random, count: int) -> list[str]:
    """Different names for properties, few of them odd."""
    odd = [name for name in ODD_NAMES if rng.random() < 0.02]
    return list(dict.fromkeys(odd + rng.sample(NAMES, min(count, len(NAMES)))))[:count]


def draw_object(rng: random.Random, depth: int, num_properties: int) -> Schema:
    """An object as APIs have them: some properties required, the rest more or less open."""
    names = draw_names(rng, num_properties)
    schema: Schema = {
        "type": "object",
        "properties": {name: draw_schema(rng, depth - 1) for name in names},
    }
    if names and rng.random() < 0.8:
        schema["required"] = rng.sample(names, rng.randint(1, len(names)))
    closing = rng.random()
    if closing < 0.55:
        schema["additionalProperties"] = False
    elif closing < 0.7:
        schema["additionalProperties"] = draw_leaf(rng)
    elif closing < 0.75:
        schema["additionalProperties"] = True
    if rng.random() < 0.1:
        schema |= draw_object_rule(rng, names)
    return schema


def draw_object_rule(rng: random.Random, names: list[str]) -> Schema:
    """One of the rarer keywords of objects."""
    one, other = (names * 2)[:2] if names else ("a", "b")
    rules: tuple[Schema, ...] = (
        {"patternProperties": {"^x-": {"type": "string"}, "^[0-9]+$": {"type": "integer"}}},
        {"propertyNames": {"pattern": "^[a-zA-Z0-9 -]*$"}},
        {"propertyNames": {"maxLength": 20}},
        {"minProperties": 1},
        {"minProperties": 1, "maxProperties": 4},
        {"dependentRequired": {one: [other]}},
        {"dependentSchemas": {one: {"required": [other]}}},
        {"not": {"required": sorted({one, other})}},
        {
            "if": {"properties": {one: {"const": "on"}}, "required": [one]},
            "then": {"required": [other]},
            "else": {"minProperties": 1},
        },
        {"unevaluatedProperties": False},
    )
    return rng.choice(rules)


def draw_array(rng: random.Random, depth: int) -> Schema:
    """An array or a tuple, seldom of different items only."""
    kind = rng.randrange(8)
    schema: Schema = {"type": "array"}
    if kind == 0:
        schema["prefixItems"] = [draw_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]
        schema["items"] = rng.choice((False, {"type": "integer"}, True))
        if rng.random() < 0.7:
            schema["minItems"] = len(schema["prefixItems"])
    elif kind == 1:
        schema |= {"items": draw_leaf(rng), "uniqueItems": True, "maxItems": 3}
    elif kind == 2:
        schema |= {"contains": {"type": "integer"}, "items": {"type": ["integer", "string"]}}
        if rng.random() < 0.5:
            schema |= {"minContains": 2, "maxContains": 3}
    else:
        schema["items"] = draw_schema(rng, depth - 1)
    if rng.random() < 0.5 and "minItems" not in schema:
        schema |= {"minItems": rng.choice((0, 1, 2)), "maxItems": rng.choice((2, 3, 10, 1000))}
    return schema


def draw_mixture(rng: random.Random, depth: int) -> Schema:
    """`anyOf`, `oneOf`, `allOf` or `not`, alone or beside other keywords."""
    kind = rng.randrange(9)
    if kind == 0:
        return {"anyOf": [draw_schema(rng, depth - 1), {"type": "null"}]}
    if kind == 1:
        return {"anyOf": [draw_schema(rng, depth - 1) for _ in range(rng.randint(2, 4))]}
    if kind == 2:
        return {
            "oneOf": [{"type": "string", "maxLength": 9}, {"type": "integer"}, {"type": "null"}]
        }
    if kind == 3:
        return {"oneOf": [{"type": "integer", "minimum": 5}, {"type": "number", "maximum": 7}]}
    if kind == 4:
        return {"type": "string", "not": {"enum": ["", "none"]}, "maxLength": 8}
    if kind == 5:
        parts = [draw_object(rng, depth - 1, 2), draw_object(rng, depth - 1, 2)]
        for part in parts:
            part.pop("additionalProperties", None)
        return {"allOf": parts}
    if kind == 6:
        return {"allOf": [draw_string(rng) | {"maxLength": 700}, {"description": "and a note"}]}
    if kind == 7:
        return _discriminated(rng, depth)
    return {
        "type": "object",
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "additionalProperties": False,
    }


def _discriminated(rng: random.Random, depth: int) -> Schema:
    """Objects told apart by a constant, as a tagged union is published."""
    keyword = rng.choice(("anyOf", "oneOf"))
    options: list[dict[str, Any]] = []
    for tag in ("circle", "square", "text")[: rng.randint(2, 3)]:
        option = draw_object(rng, depth - 1, 2)
        option["properties"] = {"type": {"const": tag}, **option["properties"]}
        option["properties"]["type"] = {"const": tag}
        option["required"] = list(dict.fromkeys(["type", *option.get("required", ())]))
        options.append(option)
    return {keyword: options, "discriminator": {"propertyName": "type"}}
