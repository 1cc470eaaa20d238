"""What callers ask for, as everybody else needs to know it."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, Optional, TypedDict

import pytest
from pydantic import BaseModel, field_validator

from edge_llm.constrain.grammar import Choice, JsonObject, JsonSchema, Lark, Regex
from edge_llm.errors import InvalidParameterError
from edge_llm.runtime.structured.form import Form, parse_form
from edge_llm.types import FinishReason

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "point", "schema": POINT}}


def form(**options: Any) -> Form:
    found = parse_form(options)
    assert found is not None
    return found


def test_each_form_is_a_grammar_with_what_a_tier_must_be_able_to_do() -> None:
    strict = {**SCHEMA, "json_schema": {"schema": POINT, "strict": True}}
    found = [
        form(response_format={"type": "json_object"}),
        form(response_format=SCHEMA),
        form(response_format=strict),
        form(regex="[0-9]+"),
        form(choice=["yes", "no"]),
        form(grammar='start: "a"'),
    ]

    assert [(one.grammar, one.need) for one in found] == [
        (JsonObject(), None),
        (JsonSchema(POINT), "json_schema"),
        (JsonSchema(POINT, strict=True), "json_schema"),
        (Regex("[0-9]+"), "grammar"),
        (Choice(("yes", "no")), "grammar"),
        (Lark('start: "a"'), "grammar"),
    ]


@pytest.mark.parametrize("options", [{}, {"response_format": {"type": "text"}}, {"regex": None}])
def test_any_text_is_no_form(options: dict[str, Any]) -> None:
    assert parse_form(options) is None


def test_the_options_of_a_form_are_taken_out() -> None:
    options = {"regex": "a", "temperature": 1.0}

    parse_form(options)

    assert options == {"temperature": 1.0}


@pytest.mark.parametrize(
    "options",
    [
        {"regex": "a", "choice": ["a"]},
        {"response_format": SCHEMA, "response_type": int},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": 3}}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strict": 2}}},
        {"response_format": "json"},
        {"regex": "("},
        {"regex": 3},
        {"choice": []},
        {"choice": "yes"},
        {"choice": ["yes", 3]},
        {"grammar": "  "},
        {"response_type": type("NoJSON", (), {})},
    ],
)
def test_what_is_no_form_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterError):
        parse_form(options)


@pytest.mark.parametrize(
    ("options", "good", "bad", "path", "keyword"),
    [
        ({"response_format": {"type": "json_object"}}, "{}", "[]", "$", "type"),
        ({"response_format": {"type": "json_object"}}, '{"a":1}', '{"a":1', "$", "json"),
        ({"response_format": {"type": "json_object"}}, "{}", '{"a":NaN}', "$", "json"),
        ({"response_format": {"type": "json_object"}}, "{}", '{"a":1e999}', "$", "json"),
        ({"response_format": SCHEMA}, '{"x":1}', '{"x":1.5}', "$.x", "type"),
        ({"response_format": SCHEMA}, '{"x":1}', "sorry", "$", "json"),
        ({"response_format": SCHEMA}, '{"x":1}', "[" * 5000, "$", "json"),
        ({"regex": "a|bc"}, "bc", "ab", "$", "regex"),
        ({"regex": "a"}, "a", "a\n", "$", "regex"),
        ({"choice": ["yes", "no"]}, "no", "No", "$", "choice"),
        ({"response_type": list[int]}, "[1]", "[1,null]", "$[1]", "int_type"),
    ],
)
def test_answers_are_judged(
    options: dict[str, Any], good: str, bad: str, path: str, keyword: str
) -> None:
    found = form(**options)
    violation = found.violation(bad, "stop")

    assert found.violation(good, "stop") is None
    assert violation is not None
    assert (violation.path, violation.keyword) == (path, keyword)


@pytest.mark.parametrize(
    ("options", "text", "finish_reason", "is_cut"),
    [
        ({"response_format": SCHEMA}, '{"x":1}', "length", False),
        ({"response_format": SCHEMA}, '{"x":1', "length", True),
        ({"response_type": int}, "12", "length", True),
        ({"response_type": int}, "12", "stop", False),
        ({"choice": ["yes", "yes please"]}, "yes", "length", True),
        ({"regex": "[0-9]+"}, "12", "length", True),
    ],
)
def test_half_an_answer_is_never_taken_for_a_whole_one(
    options: dict[str, Any], text: str, finish_reason: FinishReason, is_cut: bool
) -> None:
    violation = form(**options).violation(text, finish_reason)

    assert (violation is not None and violation.keyword == "length") is is_cut


class Step(BaseModel):
    what: str
    minutes: int = 5

    @field_validator("what")
    @classmethod
    def _no_shouting(cls, value: str) -> str:
        if value.isupper():
            raise ValueError("do not shout")
        return value


class Recipe(BaseModel):
    title: str
    kind: Literal["soup", "cake"]
    steps: list[Step]
    source: Optional[str] = None  # noqa: UP045 — both spellings are in use


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict, total=False):
    title: str
    year: int


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (
            Recipe,
            '{"title":"a","kind":"soup","steps":[{"what":"boil"}]}',
            Recipe(title="a", kind="soup", steps=[Step(what="boil")]),
        ),
        (Point, '{"x":1}', Point(1)),
        (list[Point], '[{"x":1,"y":2}]', [Point(1, 2)]),
        (Movie, '{"year":1926}', {"year": 1926}),
        (dict[str, Movie], '{"a":{"title":"b"}}', {"a": {"title": "b"}}),
        (Movie | None, "null", None),
        (tuple[int, str], '[1,"a"]', (1, "a")),
    ],
)
def test_a_python_type_is_a_schema_and_its_instances(kind: Any, text: str, value: Any) -> None:
    found = form(response_type=kind)

    assert found.need == "json_schema"
    assert found.violation(text, "stop") is None
    assert found.read is not None
    assert found.read(text) == value


def test_objects_of_a_python_type_have_no_further_members() -> None:
    found = form(response_type=Recipe)
    assert isinstance(found.grammar, JsonSchema)
    schema: Any = found.grammar.schema

    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Step"]["additionalProperties"] is False


def test_the_own_validators_of_a_type_count() -> None:
    text = '{"title":"a","kind":"soup","steps":[{"what":"BOIL"}]}'

    violation = form(response_type=Recipe).violation(text, "stop")

    assert violation is not None
    assert violation.path == "$.steps[0].what"
    assert "do not shout" in violation.message


def test_endpoints_are_told_in_their_own_words() -> None:
    named = form(response_type=Point).response_format
    nameless = {"type": "json_schema", "json_schema": {"schema": {}}}

    assert named is not None
    assert named["json_schema"]["name"] == "Point"
    assert form(response_format=nameless).response_format == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {}},
    }
    assert form(choice=["a"]).structured_outputs == {"choice": ["a"]}


def test_a_strict_schema_that_no_grammar_keeps_to_says_why() -> None:
    odd = {"type": "object", "not": {"required": ["a"]}}
    strict = {"type": "json_schema", "json_schema": {"schema": odd, "strict": True}}
    loose = {"type": "json_schema", "json_schema": {"schema": odd}}

    objection = form(response_format=strict).objection()

    assert objection is not None
    assert "#/not" in objection.message
    assert form(response_format=loose).objection() is None
    violation = form(response_format=loose).violation('{"a":1}', "stop")
    assert violation is not None
    assert violation.keyword == "not"
