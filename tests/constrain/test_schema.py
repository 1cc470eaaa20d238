"""A schema is bounded, resolved and brought to one draft before any library sees it."""

from typing import Any

import pytest

from edge_llm.constrain.schema import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_PROPERTIES,
    MAX_SCHEMAS,
    MAX_VALUES,
    prepare_schema,
)
from edge_llm.errors import GrammarError, GrammarTooLargeError, UnsupportedSchemaError


def prepared(schema: Any) -> dict[str, Any]:
    return prepare_schema(schema, strict=True).schema


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def test_notes_are_left_out() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A lamp",
        "type": "string",
        "description": "which",
        "default": "all",
        "examples": ["one"],
        "x-order": 3,
    }

    assert prepared(schema) == {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "modern"),
    [
        (
            {"type": "array", "items": [{"type": "null"}], "additionalItems": False},
            {"type": "array", "prefixItems": [{"type": "null"}], "items": False},
        ),
        (
            {"type": "integer", "minimum": 3, "exclusiveMinimum": True},
            {"type": "integer", "exclusiveMinimum": 3},
        ),
        (
            {"type": "integer", "maximum": 3, "exclusiveMaximum": False},
            {"type": "integer", "maximum": 3},
        ),
        (
            {"type": "string", "nullable": True},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        ({"type": "integer", "format": "int64"}, {"type": "integer"}),
        ({"type": "array", "uniqueItems": False}, {"type": "array"}),
        ({"properties": {}}, {"properties": {}, "type": "object"}),
        ({"pattern": "a"}, {"pattern": "a", "type": "string"}),
        ({"minimum": 1, "maxLength": 3}, {"minimum": 1, "maxLength": 3}),
        ({"type": "string", "maxLength": 10**9}, {"type": "string"}),
        ({"type": "string", "minLength": 2.0}, {"type": "string", "minLength": 2}),
    ],
)
def test_older_spellings_become_those_of_one_draft(
    schema: dict[str, Any], modern: dict[str, Any]
) -> None:
    assert prepared(schema) == modern


@pytest.mark.parametrize(
    "reference",
    ["#/definitions/name", "#/definitions/na%6De", "#named", "http://x.org/s#/definitions/name"],
)
def test_references_inside_the_document_are_followed(reference: str) -> None:
    schema = {
        "$id": "http://x.org/s",
        "properties": {"a": {"$ref": reference}},
        "definitions": {"name": {"$anchor": "named", "type": "string"}},
    }

    found = prepared(schema)

    assert found["properties"]["a"] == {"$ref": "#/$defs/d0"}
    assert found["$defs"] == {"d0": {"type": "string"}}


def test_a_recursive_schema_stays_recursive() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}}

    found = prepared(schema)

    again = {"type": "object", "properties": {"next": {"$ref": "#/$defs/d0"}}}
    assert found == {**again, "$defs": {"d0": again}}


def test_what_nothing_refers_to_costs_nothing() -> None:
    assert prepared({"type": "null", "$defs": {"huge": {"enum": ["x"] * 2 * MAX_VALUES}}}) == {
        "type": "null"
    }


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("not", {"type": "string"}),
        ("if", {"type": "string"}),
        ("uniqueItems", True),
        ("contains", {"type": "null"}),
        ("dependentRequired", {"a": ["b"]}),
        ("propertyNames", {"maxLength": 3}),
        ("unevaluatedProperties", False),
        ("format", "regex"),
    ],
)
def test_what_no_mask_enforces_is_named_or_refused(keyword: str, value: Any) -> None:
    schema = {"properties": {"a/b": {"type": "array", keyword: value}}}

    relaxed = prepare_schema(schema, strict=False)
    with pytest.raises(UnsupportedSchemaError) as caught:
        prepare_schema(schema, strict=True)

    assert relaxed.relaxed == (f"#/properties/a~1b/{keyword}",)
    assert relaxed.schema["properties"] == {"a/b": {"type": "array"}}
    assert (caught.value.path, caught.value.keyword) == (*relaxed.relaxed, keyword)


def test_the_path_of_what_is_left_out_is_where_it_stands_in_the_document() -> None:
    schema = {
        "items": {"$ref": "#/$defs/one"},
        "$defs": {"one": {"anyOf": [{"type": "null"}, {"type": "string", "not": {"const": ""}}]}},
    }

    assert prepare_schema(schema, strict=False).relaxed == ("#/$defs/one/anyOf/1/not",)


CYCLE: dict[str, Any] = {}
CYCLE["properties"] = {"again": CYCLE}


@pytest.mark.parametrize(
    "schema",
    [
        False,
        "string",
        {"type": "text"},
        {"type": []},
        {"type": 3},
        {"properties": []},
        {"anyOf": {}},
        {"anyOf": [3]},
        {"required": "a"},
        {"required": [3]},
        {"enum": "ab"},
        {"const": float("nan")},
        {"minimum": float("inf")},
        {"maximum": "3"},
        {"maximum": 10**400},
        {"minLength": -1},
        {"maxItems": 1.5},
        {"maxItems": True},
        {"pattern": 3},
        {3: {}},
        {"const": "\ud800"},
        {"const": {3: 4}},
        {"const": {1, 2}},
        {"$ref": 3},
        {"$ref": "#/nowhere"},
        {"$ref": "#nowhere"},
        {"$ref": "#/type/0/1", "type": ["null"]},
        {"$ref": "http://example.org/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "other.json#/$defs/a"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {
            "$ref": "#/$defs/a",
            "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{}, {"$ref": "#/$defs/a"}]}},
        },
    ],
)
def test_what_is_no_schema_is_an_error_that_says_so(schema: Any) -> None:
    with pytest.raises(GrammarError) as caught:
        prepare_schema(schema, strict=False)

    assert not isinstance(caught.value, GrammarTooLargeError)


@pytest.mark.parametrize(
    "schema",
    [
        nested(MAX_DEPTH + 1),
        CYCLE,
        {"enum": list(range(MAX_VALUES + 1))},
        {"const": "x" * (MAX_CHARACTERS + 1)},
        {"pattern": "x" * (MAX_CHARACTERS + 1)},
        {"properties": {str(i): {} for i in range(MAX_PROPERTIES + 1)}},
        {"minItems": 10**9},
        {"anyOf": [{"type": "null"}] * MAX_SCHEMAS},
        {"const": nested(100)},
    ],
    ids=range(9),
)
def test_what_is_too_large_is_refused(schema: Any) -> None:
    with pytest.raises(GrammarTooLargeError):
        prepare_schema(schema, strict=False)


def test_a_deep_schema_is_laid_flat() -> None:
    found = prepared(nested(MAX_DEPTH - 1))

    def depth(schema: Any) -> int:
        return 1 + depth(schema["items"]) if isinstance(schema, dict) and "items" in schema else 0

    assert max(map(depth, [found, *found["$defs"].values()])) <= 20


def test_schemas_that_fan_out_take_no_longer_for_it() -> None:
    definitions = {
        f"d{i}": {
            "anyOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"items": {"$ref": f"#/$defs/d{i + 1}"}}]
        }
        for i in range(60)
    }
    definitions["d60"] = {"type": "string"}  # type: ignore[dict-item]

    found = prepared({"$ref": "#/$defs/d0", "$defs": definitions})

    assert len(found["$defs"]) == 61
