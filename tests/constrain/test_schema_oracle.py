"""The judge of answers and the maker of schemas, which the tests of constraints rest on."""

from __future__ import annotations

import json

import pytest

from tests.support.schema_drafts import respell
from tests.support.schema_hostile import HOSTILE
from tests.support.schema_oracle import faults
from tests.support.schema_shapes import SHAPES
from tests.support.schemas import generate, generate_many

CASES = (
    ({"type": "integer", "minimum": 1}, "1", "0"),
    ({"multipleOf": 0.01}, "0.07", "0.071"),
    ({"multipleOf": 10**17 + 3}, str(10**18 + 30), str(10**18 + 31)),
    ({"pattern": r"^\d+$"}, '"12"', '"١٢"'),
    ({"pattern": "^a$"}, '"a"', '"a\\n"'),
    ({"pattern": "[$]"}, '"$"', '"a"'),
    ({"pattern": "^(?<y>a)$"}, '"a"', '"b"'),
    ({"patternProperties": {"^x-": {"type": "null"}}}, '{"x-a":null}', '{"x-a":1}'),
    ({"format": "date"}, '"2024-02-29"', '"2023-02-29"'),
    ({"format": "date-time"}, '"2024-02-29T23:59:60Z"', '"2024-02-29 12:00:00"'),
    ({"format": "time"}, '"12:00:00+01:00"', '"24:00:00Z"'),
    ({"format": "duration"}, '"P1DT2H"', '"PT"'),
    ({"format": "ipv4"}, '"10.0.0.1"', '"10.0.0.256"'),
    ({"format": "ipv6"}, '"::1"', '":::1"'),
    ({"format": "uri"}, '"http://a/b"', '"a/b"'),
    ({"pattern": r"^\s[^\s]\S$"}, '"\\u2028ab"', '"a b"'),
    ({"type": "integer", "nullable": True}, "null", '"a"'),
    ({"type": "number"}, "1", "NaN"),
    ({"minimum": -(2**63)}, str(-(2**63)), str(-(2**63) - 1)),
    (respell({"items": {"exclusiveMinimum": 3}}, "4"), "[4]", "[3]"),
    (respell({"prefixItems": [{"const": 1}], "items": False}, "7"), "[1]", "[1,2]"),
    (respell({"dependentRequired": {"a": ["b"]}}, "6"), '{"a":1,"b":2}', '{"a":1}'),
)


@pytest.mark.parametrize(("schema", "good", "bad"), CASES)
def test_the_oracle_tells_good_from_bad(schema: object, good: str, bad: str) -> None:
    assert faults(schema, good) == []
    assert faults(schema, bad) != []


def test_a_seed_always_gives_the_same_schema() -> None:
    assert [case.text for case in generate_many(60)] == [generate(seed).text for seed in range(60)]


def test_every_shape_and_every_draft_comes_up() -> None:
    names = [case.name.split("/") for case in generate_many(420)]

    assert {name[0] for name in names} == {*SHAPES, "tool"}
    assert {name[2] for name in names if len(name) > 2} == {
        *("draft-4", "draft-6", "draft-7", "draft-2019-09", "draft-2020-12")
    }


def test_generated_schemas_survive_being_sent() -> None:
    assert all(json.loads(case.text) == case.schema for case in generate_many(210))


def test_hostile_schemas_are_texts_of_bounded_size() -> None:
    assert all(len(make()) < 20_000_000 for make in HOSTILE.values())
