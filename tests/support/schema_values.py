"""JSON schemas of single values as people write them: strings, numbers, enums, and their notes."""

from __future__ import annotations

import random
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

PATTERNS = (
    *("^[a-z]{2,8}$", "^(foo|bar|ba[zt])$", r"^\d{4}-\d{2}$", "abc", "^x-", "[0-9]$", "^$"),
    *("^[A-Z][a-z]*( [A-Z][a-z]*)*$", r"^\+?[1-9]\d{1,14}$", "^#(?:[0-9a-fA-F]{3}){1,2}$"),
    *(r"^[^\s@]+@[^\s@]+\.[a-z]{2,}$", r"^[\w.-]+$", r"^\S+$", "^.{1,5}$", "", "^[一-鿿]{1,3}$"),
    *('^"[a-z]"$', r"^\\[a-z]+$", r"^a/b\/c$", "^(a|b|)c?$", r"^[\]\[]{1,4}$", r"^\x41+$"),
    *("^[a-zA-Z0-9+/]{4,8}={0,2}$", r"^\s*$", '^[^"\\\\]+$', r"^\u00e9+$", "^a|b$", "(a|b)+$"),
    r"^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$",
    r"^v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$",
    r"^(?<year>\d{4})(?:-(?<month>0[1-9]|1[0-2]))?$",
    r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d{12}:[^\s]+$",
)
"""Regular ones, anchored and not."""

IRREGULAR_PATTERNS = (
    *("^(?!admin)[a-z]+$", r"^(?=.*[A-Z])(?=.*\d).{8,}$", "(?<=a)b", "(?<!a)b"),
    *(r"^([a-z])\1$", r"\bword\b", r"^\w+\B$", "^(?:(?!--).)*$"),
)
"""No finite automaton reads these as they are written."""

FORMATS = (
    *("date-time", "date", "time", "duration", "email", "uri", "uri-reference", "hostname"),
    *("ipv4", "ipv6", "uuid", "json-pointer", "regex", "idn-email", "iri"),
)

FOREIGN_FORMATS = ("int32", "int64", "float", "double", "byte", "binary", "password", "phone", "")
"""Of OpenAPI and of somebody's own: they demand nothing."""

NAMES = (
    *("id", "name", "type", "kind", "status", "value", "items", "data", "count", "limit", "offset"),
    *("query", "path", "url", "email", "createdAt", "updated_at", "isActive", "tags", "metadata"),
    *("price", "currency", "address", "city", "zip", "country", "lat", "lon", "owner", "notes"),
    *("parent", "version", "enabled", "mode", "temperature", "brightness", "room", "device_class"),
)

ODD_NAMES = (
    *(
        "",
        " ",
        "a b",
        "$ref",
        "$id",
        "type",
        "properties",
        "ключ",
        "日本",
        "é",
        "e\u0301",
        "🏠",
        'a"b',
    ),
    *("a\\b", "a/b", "~0", "a~1b", "%25", "\n", "\t", "\x7f", "\u2028", "__proto__", "x" * 80, "0"),
    *("-1", "@type", "xml:lang", "a.b.c", "[0]", "{}", "null", "true", "</script>", "\u00a0", "é"),
)

ENUM_VALUES: tuple[Any, ...] = (
    *(
        "on",
        "off",
        "",
        " ",
        "ON",
        "1",
        "null",
        "Größe",
        "🏠",
        'say "hi"',
        "back\\slash",
        "two\nlines",
    ),
    *(
        0,
        1,
        -1,
        1.5,
        1e22,
        -0.0,
        2**53,
        2**64,
        None,
        True,
        False,
        [],
        [1, "a"],
        {},
        {"a": {"b": None}},
    ),
)
"""Whatever JSON has, often together in one enum."""


def draw_string(rng: random.Random) -> Schema:
    """A string, more or less bounded."""
    kind = rng.randrange(8)
    schema: Schema = {"type": "string"}
    if kind in (0, 1):
        schema["pattern"] = rng.choice(PATTERNS)
    elif kind == 2:
        schema["format"] = rng.choice(FORMATS)
    elif kind == 3:
        schema["format"] = rng.choice(FOREIGN_FORMATS)
    elif kind == 4:
        schema["minLength"] = rng.choice((0, 1, 3, 20))
        schema["maxLength"] = schema["minLength"] + rng.choice((0, 1, 10, 500))
    elif kind == 5:
        schema["maxLength"] = rng.choice((0, 1, 50, 255, 2000, 65_535))
    elif kind == 6:
        schema["enum"] = rng.sample(("low", "medium", "high", "very high", "ünïcode", ""), 3)
    if rng.random() < 0.05:
        schema |= {"pattern": "^[a-z]+$", "minLength": 2, "maxLength": 6}
    return schema


def draw_number(rng: random.Random) -> Schema:
    """An integer or a number within bounds of all sorts."""
    whole = rng.random() < 0.6
    schema: Schema = {"type": "integer" if whole else "number"}
    kind = rng.randrange(10)
    low: float = rng.choice((0, 1, -1, -50, -40, 10, 2**31, -(2**63), 1000))
    if not whole and rng.random() < 0.5:
        low = rng.choice((0.1, -0.5, 2.5e-3, 0.30000000000000004, -273.15, 1e-7))
    high = low + rng.choice((0, 1, 5, 100, 255, 10**6, 10**18))
    if kind in (0, 1, 2):
        schema |= {"minimum": low, "maximum": high}
    elif kind == 3:
        schema |= {"exclusiveMinimum": low, "exclusiveMaximum": high + 2}
    elif kind == 4:
        schema["minimum"] = low
    elif kind == 5:
        schema["exclusiveMaximum"] = high
    elif kind == 6:
        schema["multipleOf"] = rng.choice((1, 2, 5, 10, 100) if whole else (0.01, 0.5, 0.25, 3))
    elif kind == 7:
        schema |= {"minimum": 0, "maximum": 100, "multipleOf": rng.choice((5, 7, 25))}
    return schema


def draw_enum(rng: random.Random) -> Schema:
    """An enum or a constant of any mixture of types; sometimes a very long one."""
    kind = rng.randrange(6)
    if kind == 0:
        return {"const": rng.choice(ENUM_VALUES)}
    if kind == 1:
        return {"type": "string", "enum": [f"zone/{i:03d}" for i in range(rng.choice((50, 400)))]}
    if kind == 2:
        return {"type": ["string", "null"], "enum": ["a", "b", None]}
    return {"enum": rng.sample(ENUM_VALUES, rng.randint(1, 6))}


def draw_leaf(rng: random.Random) -> Schema:
    """Any value without parts."""
    kind = rng.randrange(20)
    if kind < 8:
        return draw_string(rng)
    if kind < 13:
        return draw_number(rng)
    if kind < 16:
        return draw_enum(rng)
    if kind < 18:
        return {"type": "boolean"}
    if kind == 18:
        return {"type": rng.choice((["string", "null"], ["integer", "string"], ["number", "null"]))}
    return {"type": "null"}


def annotate(rng: random.Random, schema: Schema) -> Schema:
    """The schema with notes that demand nothing, in whatever order."""
    notes: Schema = {
        "title": "The Title",
        "description": 'What it is: "quoted", over\ntwo lines, with {braces} and % signs.',
        "examples": ["an example", {"of": "another type"}],
        "default": rng.choice((None, 0, "", [], {"$ref": "#/nowhere"})),
        "deprecated": True,
        "readOnly": False,
        "$comment": "for editors",
        "x-order": 3,
    }
    chosen = {key: notes[key] for key in rng.sample(sorted(notes), rng.randrange(4))}
    return chosen | schema if rng.random() < 0.5 else schema | chosen
