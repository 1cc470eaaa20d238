"""What counts as right, on answers as models write them and on answers written to do harm."""

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.evaluate.graders import GRADERS, create_grader
from edge_llm.evaluate.graders.base import Call, Reply


def grade(name: str, reference: Any, text: str, **options: Any) -> float:
    return create_grader(name, reference, options).grade(Reply(text))


@pytest.mark.parametrize(
    ("reference", "text", "options", "right"),
    [
        ("Paris", " Paris\n", {}, 1),
        ("Paris", "paris", {}, 0),
        ("Paris", "PARIS", {"ignore_case": True}, 1),
        (["Paris", "Lutetia"], "Lutetia", {}, 1),
        ("caf\u00e9", "cafe\u0301", {}, 1),
        ("Paris", "Paris, France", {}, 0),
        ("Paris", "", {}, 0),
    ],
)
def test_exact(reference: Any, text: str, options: dict[str, Any], right: int) -> None:
    assert grade("exact", reference, text, **options) == right


@pytest.mark.parametrize(
    ("reference", "text", "right"),
    [
        (18, "She makes 9 * $2 = $18 a day.\n#### 18", 1),
        (18, "#### 18\n\nLet me check 5 more things", 1),
        (1234.5, "The total is $1,234.50.", 1),
        (-3, "it is \u22123 degrees", 1),
        (0.5, "The answer is 1/2", 1),
        (18, "\\boxed{18} and then 7", 1),
        (18, "Answer: **18** (of 20)", 1),
        (5, "10 - 5 = 5", 1),
        (2, "from 1 to 2", 1),
        (3, "3.14", 0),
        (18, "eighteen", 0),
        (18, "", 0),
        (18, "#### unknown", 0),
        (1e6, "1e6", 1),
        (18, "1" * 100_000, 0),
        (18, "1e9999", 0),
        (18, "18/0", 0),
    ],
)
def test_numeric(reference: float, text: str, right: int) -> None:
    assert grade("numeric", reference, text) == right


def test_a_number_may_be_off_by_a_tolerance() -> None:
    assert grade("numeric", 3.14, "3.2", tolerance=0.1) == 1
    assert grade("numeric", 1000, "1009", relative=0.01) == 1
    assert grade("numeric", "3.14", "3.15") == 0


@pytest.mark.parametrize(
    ("expression", "text", "options", "right"),
    [
        (r"\b42\b", "It is 42.", {}, 1),
        (r"\b42\b", "It is 421.", {}, 0),
        ("yes", "YES", {"ignore_case": True}, 1),
        ("yes", "yes indeed", {"whole": True}, 0),
        ("(a+)+$", "a" * 50_000 + "b", {}, 0),
        ("x", "\ud800 x", {}, 1),
    ],
)
def test_regex(expression: str, text: str, options: dict[str, Any], right: int) -> None:
    assert grade("regex", expression, text, **options) == right


@pytest.mark.parametrize(
    ("reference", "text", "options", "right"),
    [
        ({"a": 1}, '{"a": 1.0}', {}, 1),
        ({"a": 1}, 'Here it is:\n```json\n{"a": 1}\n```', {}, 1),
        ({"a": 1}, '{"a": true}', {}, 0),
        ({"a": 1}, '{"a": 1, "b": 2}', {}, 0),
        ({"a": 1}, '{"a": 1, "b": 2}', {"match": "subset"}, 1),
        ({"a": {"b": [1, 2]}}, '{"a": {"b": [1, 2], "c": 0}}', {"match": "subset"}, 1),
        ({"a": [1, 2]}, '{"a": [2, 1]}', {"match": "subset"}, 0),
        (None, "null", {}, 1),
        (None, "nothing", {}, 0),
        ({"a": 1}, "{" * 100_000, {}, 0),
        ({"a": 1}, "[" * 100_000 + "]" * 100_000, {}, 0),
        ({"a": 1}, "", {}, 0),
    ],
)
def test_json(reference: Any, text: str, options: dict[str, Any], right: int) -> None:
    assert grade("json", reference, text, **options) == right


F1: Call = ("f", {"a": 1})
F2: Call = ("f", {"a": 2})
G: Call = ("g", {})


@pytest.mark.parametrize(
    ("wanted", "made", "options", "right"),
    [
        ([F1, G], (F1, G), {}, 1),
        ([F1, G], (G, F1), {}, 1),
        ([F1, G], (G, F1), {"ordered": True}, 0),
        ([F1], (F1, F1), {}, 0),
        ([F1, F1], (F1, F2), {}, 0),
        ([], (), {}, 1),
        ([], (G,), {}, 0),
        ([("f", {})], (F1,), {"match": "subset"}, 1),
        ([("f", {}), F1], (F1, F2), {"match": "subset"}, 1),
        ([F1, F2], (), {}, 0),
    ],
)
def test_tool_calls(
    wanted: list[Any], made: tuple[Any, ...], options: dict[str, Any], right: int
) -> None:
    reference = [{"name": name, "arguments": arguments} for name, arguments in wanted]

    assert create_grader("tool_calls", reference, options).grade(Reply("", made)) == right


def test_a_call_may_be_written_as_the_openai_api_nests_it() -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}

    assert create_grader("tool_calls", call, {}).grade(Reply("", (F1,))) == 1


CITIES = ["Paris", "Rome", "New York"]


@pytest.mark.parametrize(
    ("reference", "text", "right"),
    [
        ("B", "B", 1),
        ("B", "(B) Rome", 1),
        ("B", "b.", 1),
        ("B", "The answer is B.", 1),
        ("B", "At first the answer is A, but no: the answer is **B**", 1),
        ("B", "rome", 1),
        ("Rome", "B) Rome", 1),
        ("B", "It must be Rome.", 1),
        ("A", "A city in Italy: Rome", 0),
        ("B", "Paris or Rome", 0),
        ("B", "C", 0),
        ("B", "", 0),
    ],
)
def test_choice(reference: str, text: str, right: int) -> None:
    assert grade("choice", reference, text, choices=CITIES) == right


@given(st.sampled_from(sorted(GRADERS)), st.text(max_size=300))
def test_no_answer_makes_a_grader_fail(name: str, text: str) -> None:
    references: dict[str, Any] = {
        "exact": "x", "numeric": 1, "regex": "x", "json": {"a": [1]}, "tool_calls": [],
        "choice": "A",
    }  # fmt: skip

    assert grade(name, references[name], text) in (0.0, 1.0)


@given(st.sampled_from(sorted(GRADERS)), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
))  # fmt: skip
def test_a_reference_is_taken_or_refused_with_what_is_expected(name: str, reference: Any) -> None:
    said = GRADERS[name].expects
    with contextlib.suppress(ValueError):
        create_grader(name, reference, {})
        return
    with pytest.raises(ValueError, match=re.escape(said)):
        create_grader(name, reference, {})
