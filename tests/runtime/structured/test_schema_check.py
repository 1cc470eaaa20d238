"""Values against schemas: the library's own verdict, in bounded time, with nothing fetched."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from edge_llm.constrain.grammar import JsonSchema
from edge_llm.errors import (
    GrammarError,
    GrammarTooLargeError,
    InvalidParameterError,
    UnsupportedSchemaError,
)
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.runtime.structured.form import read_json
from edge_llm.runtime.structured.formats import has_format
from edge_llm.runtime.structured.schema_check import MAX_SCHEMA_OBJECTS, SchemaCheck
from tests.support.schema_oracle import faults
from tests.support.schema_walk import Walker
from tests.support.schemas import generate

RECIPE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {"step": {"type": "string", "pattern": "^[A-Z]"}},
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1},
        "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "uniqueItems": True},
        "when": {"type": "string", "format": "date"},
        "part of": {"$ref": "#"},
    },
    "patternProperties": {"^x-": {"type": "integer"}},
    "required": ["title"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "value",
    [
        {"title": "Soup"},
        {"title": "Soup", "steps": ["Boil", "Eat"], "when": "2026-11-22", "x-a": 1},
        {"title": "Soup", "part of": {"title": "Dinner"}},
    ],
)
def test_what_fits_has_no_violation(value: Any) -> None:
    assert SchemaCheck(RECIPE).violation(value) is None


@pytest.mark.parametrize(
    ("value", "path", "keyword"),
    [
        ([], "$", "type"),
        ({}, "$", "required"),
        ({"title": ""}, "$.title", "minLength"),
        ({"title": "a", "steps": ["Boil", "eat"]}, "$.steps[1]", "pattern"),
        ({"title": "a", "steps": ["A", "A"]}, "$.steps", "uniqueItems"),
        ({"title": "a", "when": "2026-02-30"}, "$.when", "format"),
        ({"title": "a", "x-a": "b"}, "$['x-a']", "type"),
        ({"title": "a", "other": 1}, "$", "additionalProperties"),
        ({"title": "a", "part of": {}}, "$['part of']", "required"),
    ],
)
def test_what_does_not_fit_is_named_by_path_and_keyword(
    value: Any, path: str, keyword: str
) -> None:
    found = SchemaCheck(RECIPE).violation(value)

    assert found is not None
    assert (found.path, found.keyword) == (path, keyword)


def test_an_older_draft_is_read_as_its_own() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "minimum": 3,
        "exclusiveMinimum": True,
    }

    assert SchemaCheck(schema).violation(4) is None
    assert SchemaCheck(schema).violation(3) is not None


@pytest.mark.parametrize(
    "schema", [{"type": "objekt"}, {"properties": 3}, {"pattern": "("}, "text", {"a": object()}]
)
def test_what_is_no_schema_is_refused_at_once(schema: Any) -> None:
    with pytest.raises(InvalidParameterError):
        SchemaCheck(schema)


@pytest.mark.parametrize("reference", ["https://example.com/schema.json", "other.json", "#/nope"])
def test_nothing_is_fetched(reference: str) -> None:
    with pytest.raises(UnsupportedSchemaError) as caught:
        SchemaCheck({"properties": {"a": {"$ref": reference}}})

    assert caught.value.path == "#/properties/a/$ref"


def test_alternatives_that_multiply_are_given_up() -> None:
    fan_out: dict[str, Any] = {
        f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(60)
    }
    schema = {"$defs": {**fan_out, "a60": {"type": "string"}}, "$ref": "#/$defs/a0"}

    found = SchemaCheck(schema).violation(3)

    assert found is not None
    assert "too many steps" in found.message


def test_a_reference_to_itself_ends() -> None:
    found = SchemaCheck({"$ref": "#"}).violation(3)

    assert found is not None
    assert "cannot be checked" in found.message


def test_a_deep_value_and_a_deep_schema_end() -> None:
    nested = json.loads("[" * 400 + "]" * 400)
    lists = {"$defs": {"l": {"items": {"$ref": "#/$defs/l"}}}, "$ref": "#/$defs/l"}
    schema: Any = {}
    for _ in range(2000):
        schema = {"items": schema}

    assert SchemaCheck(lists).violation(nested) is not None
    with pytest.raises((InvalidParameterError, GrammarTooLargeError)):
        SchemaCheck(schema)


def test_a_schema_of_too_many_parts_is_refused() -> None:
    many: dict[str, Any] = {f"p{i}": {} for i in range(MAX_SCHEMA_OBJECTS)}

    with pytest.raises(GrammarTooLargeError):
        SchemaCheck({"properties": many})


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(?=a)(a+)+$"])
def test_an_expression_that_explodes_elsewhere_ends_here(pattern: str) -> None:
    found = SchemaCheck({"pattern": pattern}).violation("a" * 60 + "b")

    assert found is not None
    assert found.keyword == "pattern"


EXPRESSIONS = [
    (r"^\u0041\ud83d\ude00$", "A😀", True),
    (r"^\x2e$", "a", False),
    (r"^\cA$", "\x01", True),
    ("^a$", "a\n", False),
    (r"^(?=a)a$", "a\n", False),
    (r"^\d$", "٣", False),
    (r"^(?!no)\w+$", "yes", True),
    (r"^(?!no)\w+$", "ж", False),
    (r"^\s$", "\u00a0", True),
    (r"^[\s]$", "\u00a0", True),
    (r"^(?=.)\s$", "\u00a0", True),
    (r"^\S$", "\u00a0", False),
    ("^.$", "\r", False),
    ("^[.$]$", "$", True),
    ("^[^]$", "\n", True),
    ("a[]", "a", False),
    (r"^[\]\u005d]+$", "]]", True),
]


@pytest.mark.parametrize(("pattern", "text", "fits"), EXPRESSIONS)
def test_expressions_are_those_of_ecma_where_the_engines_differ(
    pattern: str, text: str, fits: bool
) -> None:
    assert (SchemaCheck({"pattern": pattern}).violation(text) is None) is fits


def test_the_verdict_is_that_of_the_library_alone() -> None:
    walker = Walker(ByteTokenizer())
    num_compared = 0
    for seed in range(60):
        schema = generate(seed).schema
        try:
            compiled = walker.compiler.compile(JsonSchema(schema))
        except GrammarError:
            continue
        check = SchemaCheck(schema)
        drawn = walker.draw(compiled, random.Random(seed), 200)
        for text in (drawn, "{}", "[]", "1", "null", '"a"', '{"name":"x","id":1}'):
            if text is None:
                continue
            value, problem = read_json(text)
            if problem is None:
                num_compared += 1
                assert bool(check.violation(value)) is bool(faults(schema, text)), (seed, text)

    assert num_compared > 200


def test_values_that_a_schema_speaks_of_are_no_schemas() -> None:
    data = {"$ref": "#/nowhere", "pattern": "("}
    schema = {"default": data, "examples": [data], "const": data, "properties": {"default": {}}}

    assert SchemaCheck(schema).violation(data) is None
    with pytest.raises(UnsupportedSchemaError, match="#/properties/default"):
        SchemaCheck({"properties": {"default": {"$ref": "#/nowhere"}}})


def test_what_schemas_out_of_generators_hold_is_understood() -> None:
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "required": []}

    assert SchemaCheck(old).violation({}) is None
    assert SchemaCheck({"type": "string", "nullable": True}).violation(None) is None
    assert SchemaCheck({"multipleOf": 0.01}).violation(0.07) is None
    assert SchemaCheck({"multipleOf": 0.01}).violation(0.075) is not None


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("time", "23:59:60Z", "24:00:00Z"),
        ("time", "12:00:00.5+02:00", "12:00:00"),
        ("date-time", "2026-11-22T12:00:00Z", "2026-11-22 12:00:00Z"),
        ("duration", "P1Y2M3DT4H5M6S", "P"),
        ("duration", "P1Y2D", "1Y"),
        ("duration", "P3W", "PT"),
        ("email", "a.b+c@example.org", "a..b@example.org"),
        ("hostname", "a-b.example", "-a.example"),
        ("ipv4", "192.168.0.1", "192.168.0.256"),
        ("ipv6", "fe80::1", "fe80::1%eth0"),
        ("uuid", "12345678-1234-1234-1234-123456789abc", "12345678123412341234123456789abc"),
        ("json-pointer", "/a/~0b/~1c", "a/b"),
        ("uri-reference", "../a?b#c", "ä"),
        ("uri", "https://example.org/a?b=%20#c", "example.org"),
        ("of our own", "anything", None),
    ],
)
def test_formats(name: str, good: str, bad: str | None) -> None:
    assert has_format(name, good)
    assert bad is None or not has_format(name, bad)
