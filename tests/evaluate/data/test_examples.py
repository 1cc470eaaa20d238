"""From a row to a question; what is wrong is named by line and column."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge_llm.errors import ConfigError, DataSetError
from edge_llm.evaluate.data.columns import parse_mapping
from edge_llm.evaluate.data.examples import read_data
from edge_llm.evaluate.graders.base import Reply


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_prompt_and_a_reference_are_a_question(tmp_path: Path) -> None:
    (one,) = read_data(write(tmp_path, {"prompt": "2 + 2?", "numeric": 4})).examples

    assert one.messages == ({"role": "user", "content": "2 + 2?"},)
    assert one.grader is not None
    assert one.grader.grade(Reply("It is 4.")) == 1.0


def test_a_table_of_a_spreadsheet_says_the_same_as_lines_of_json(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(
        "id,prompt,tool_calls,max_tokens\n"
        '7,"lights on","[{""name"": ""f"", ""arguments"": {}}]",9\n'
    )
    row = {"id": 7, "prompt": "lights on", "tool_calls": [{"name": "f", "arguments": {}}],
           "max_tokens": 9}  # fmt: skip

    (table,), (lines,) = read_data(path).examples, read_data(write(tmp_path, row)).examples

    assert (table.id, table.key, table.grader) == (lines.id, lines.key, lines.grader)


def test_the_key_is_what_is_asked_and_not_what_is_expected(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "exact": "1"},
        {"prompt": "a", "exact": "2", "task": "t"},
        {"prompt": "a", "system": "be brief", "exact": "1"},
        {"prompt": "b", "exact": "1"},
    ]

    keys = [one.key for one in read_data(write(tmp_path, *rows)).examples]

    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path, {"question": "2 + 2?", "answer": "4", "source": "me"})

    found = read_data(path, parse_mapping(["prompt=question", "numeric=answer"]))

    assert found.examples[0].prompt == "2 + 2?"
    assert found.ignored == ("source",)


def test_only_the_first_rows_are_read_where_a_limit_is_set(tmp_path: Path) -> None:
    path = write(tmp_path, {"prompt": "a", "exact": "1"}, {"prompt": 5, "exact": {}})

    assert len(read_data(path, limit=1).examples) == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"exact": "x"}, "either 'prompt' or 'messages'"),
        ({"prompt": "a", "messages": []}, "either 'prompt' or 'messages'"),
        ({"prompt": "  ", "exact": "x"}, "column 'prompt': a text is expected"),
        ({"prompt": "a", "numeric": "many"}, "column 'numeric': a number"),
        ({"prompt": "a", "numeric": True}, "column 'numeric': a number"),
        ({"prompt": "a", "regex": "("}, "column 'regex': a regular expression"),
        ({"prompt": "a", "regex": "(?=x)"}, "column 'regex': a regular expression"),
        ({"prompt": "a", "tool_calls": [{"arguments": {}}]}, "column 'tool_calls': a call"),
        ({"prompt": "a", "choice": "E", "choices": ["x", "y"]}, "column 'choice': a letter"),
        ({"prompt": "a", "exact": "x", "numeric": 1}, "one reference is expected"),
        ({"prompt": "a", "exact": "x", "options": {"ignorecase": True}}, "unknown option"),
        ({"prompt": "a", "exact": "x", "max_tokens": 0}, "column 'max_tokens': a number from 1"),
        ({"prompt": "a", "exact": "x", "weight": -1}, "column 'weight': a number"),
        ({"prompt": "a", "exact": "x", "tools": {}}, "column 'tools': a list"),
        ({"prompt": "a", "exact": "x", "id": None}, "column 'id'"),
        ({"promt": "a", "exact": "x"}, "column 'promt': 'prompt' is perhaps meant"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "the last message must be"),
        ({"messages": "hello"}, "column 'messages': a list"),
    ],
)
def test_a_wrong_column_is_named(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataSetError, match=said) as caught:
        read_data(write(tmp_path, {"prompt": "fine", "exact": "x"}, row))

    assert "line 2" in str(caught.value)


def test_two_questions_of_one_id_are_an_error(tmp_path: Path) -> None:
    row = {"id": "a", "prompt": "x", "exact": "y"}

    with pytest.raises(DataSetError, match="line 3: column 'id': 'a' was on line 1 already"):
        read_data(write(tmp_path, row, {**row, "id": "b"}, row))


def test_a_mapping_to_a_column_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"no column 'question'.*prompt, exact"):
        read_data(write(tmp_path, {"prompt": "a", "exact": "b"}), {"prompt": "question"})


@pytest.mark.parametrize("pairs", [["prompt"], ["=x"], ["a=b", "a=c"]])
def test_a_mapping_that_is_none_is_refused(pairs: list[str]) -> None:
    with pytest.raises(ConfigError, match="--column"):
        parse_mapping(pairs)
