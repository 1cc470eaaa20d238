"""Answers of a form as the real `openai` client asks for them, over a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from tests.server.test_openai_client import HELLO, connected
from tests.support.runtimes import SpokenBackend
from tests.support.serving import served


class Step(BaseModel):
    what: str
    minutes: int = Field(ge=0, le=90)


class Recipe(BaseModel):
    title: str
    kind: Literal["soup", "cake"]
    steps: list[Step]


SOUP = '{"title":"Soup","kind":"soup","steps":[{"what":"boil","minutes":20}]}'


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    with served(SpokenBackend(SOUP)) as url, connected(url) as client:
        yield client


def test_the_client_parses_into_a_pydantic_model(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(model="fake", messages=HELLO, response_format=Recipe)

    assert answer.choices[0].message.parsed == Recipe(
        title="Soup", kind="soup", steps=[Step(what="boil", minutes=20)]
    )


def test_a_stream_of_the_client_parses_too(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="fake", messages=HELLO, response_format=Recipe
    ) as stream:
        found = stream.get_final_completion().choices[0].message

    assert found.parsed is not None
    assert found.parsed.title == "Soup"


def test_json_mode(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="fake", messages=HELLO, response_format={"type": "json_object"}, max_tokens=200
    )

    assert json.loads(answer.choices[0].message.content or "")["title"] == "Soup"


FORMS: list[tuple[dict[str, Any], set[str]]] = [
    ({"structured_outputs": {"choice": ["yes", "no"]}}, {"yes", "no"}),
    ({"structured_outputs": {"regex": "(ab){2}"}}, {"abab"}),
    ({"structured_outputs": {"grammar": 'start: "a" | "b"'}}, {"a", "b"}),
    ({"structured_outputs": {"json": {"enum": [1, 2]}}}, {"1", "2"}),
    ({"structured_outputs": {"json": '{"enum": [1, 2]}'}}, {"1", "2"}),
    ({"edge_llm": {"choice": ["yes", "no"]}}, {"yes", "no"}),
]


@pytest.mark.parametrize(("extra", "answers"), FORMS)
def test_forms_beyond_json_are_asked_for_as_of_vllm(
    client: openai.OpenAI, extra: dict[str, Any], answers: set[str]
) -> None:
    answer = client.chat.completions.create(model="fake", messages=HELLO, extra_body=extra)

    assert answer.choices[0].message.content in answers


def test_half_an_answer_is_an_error_for_the_client(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.parse(
            model="fake", messages=HELLO, response_format=Recipe, max_tokens=10
        )

    assert caught.value.code == "answer_truncated"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"structured_outputs": {"choice": ["a"], "regex": "a"}}, "one form"),
    ({"structured_outputs": {"regex": "("}}, "regular expression"),
    ({"structured_outputs": {"json": "{"}}, "not JSON"),
    ({"structured_outputs": {"xml": True}}, "xml"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
        "#/type",
    ),
]


@pytest.mark.parametrize(("extra", "said"), WRONG)
def test_what_is_no_form_is_a_bad_request(
    client: openai.OpenAI, extra: dict[str, Any], said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        client.chat.completions.create(model="fake", messages=HELLO, extra_body=extra)


def test_a_strict_schema_names_the_keyword_that_cannot_be_kept(client: openai.OpenAI) -> None:
    schema = {"type": "object", "not": {"required": ["a"]}}
    strict: Any = {
        "type": "json_schema",
        "json_schema": {"name": "odd", "schema": schema, "strict": True},
    }
    with pytest.raises(openai.BadRequestError, match="#/not") as caught:
        client.chat.completions.create(model="fake", messages=HELLO, response_format=strict)

    assert caught.value.code == "unsupported_schema"
