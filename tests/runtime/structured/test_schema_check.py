"""Values against schemas: the library's own verdict, in bounded time, with nothing fetched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_llm.errors import GrammarTooLargeError, InvalidParameterError, UnsupportedSchemaError
from edge_llm.runtime.structured.formats import has_format
from edge_llm.runtime.structured.schema_check import MAX_SCHEMA_OBJECTS, SchemaCheck

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


def test_expressions_are_those_of_ecma_where_the_engines_differ() -> None:
    assert SchemaCheck({"pattern": r"^A$"}).violation("A") is None
    assert SchemaCheck({"pattern": "^a$"}).violation("a\n") is not None
    assert SchemaCheck({"pattern": r"^\d$"}).violation("٣") is not None
    assert SchemaCheck({"pattern": r"^(?!no)\w+$"}).violation("yes") is None


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("time", "23:59:60Z", "24:00:00Z"),
        ("time", "12:00:00.5+02:00", "12:00:00"),
        ("date-time", "2026-11-22T12:00:00Z", "2026-11-22 12:00:00Z"),
        ("duration", "P1Y2M3DT4H5M6S", "P"),
        ("duration", "P3W", "PT"),
        ("email", "a.b+c@example.org", "a..b@example.org"),
        ("hostname", "a-b.example", "-a.example"),
        ("ipv4", "192.168.0.1", "192.168.0.256"),
        ("ipv6", "fe80::1", "fe80::1%eth0"),
        ("uuid", "12345678-1234-1234-1234-123456789abc", "12345678123412341234123456789abc"),
        ("uri", "https://example.org/a?b=%20#c", "example.org"),
        ("of our own", "anything", None),
    ],
)
def test_formats(name: str, good: str, bad: str | None) -> None:
    assert has_format(name, good)
    assert bad is None or not has_format(name, bad)
