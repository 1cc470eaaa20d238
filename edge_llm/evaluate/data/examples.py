"""Questions with references, from the rows of a file. The guide is README.md beside this."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_llm.errors import EdgeLLMError
from edge_llm.evaluate.data.columns import from_cell, nearest, rename, to_number, to_text, to_weight
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.data.lines import Row, TextRow, fail, read_rows
from edge_llm.evaluate.graders import GRADERS, create_grader
from edge_llm.prompt.messages import messages_from
from edge_llm.types import Message

ASKED = ("prompt", "messages", "system", "tools", "max_tokens", "response_format")
ABOUT = ("id", "task", "group", "weight", "options", "choices", "rubric")
KNOWN = (*ASKED, *ABOUT, *GRADERS)


@dataclass(slots=True)
class DataSet:
    """What was read of a file."""

    path: Path
    examples: list[Example] = field(default_factory=list)
    ignored: tuple[str, ...] = ()
    """Columns that mean nothing here."""


def read_data(
    path: Path,
    mapping: Mapping[str, str] | None = None,
    *,
    limit: int | None = None,
    known: Sequence[str] = KNOWN,
) -> DataSet:
    """All questions of a file, or the first `limit`.

    Raises:
        DataSetError: the file cannot be read, a row is wrong, two have one id, or there is none.
    """
    found = DataSet(path)
    ignored: dict[str, None] = {}
    rows = read_checked_rows(path, mapping or {}, known, ignored)
    for line, row in itertools.islice(rows, limit):
        found.examples.append(parse_example(path, line, row))
    if not found.examples:
        fail(path, 1, "there is no question in it", hint=_HINT)
    found.ignored = tuple(ignored)
    return found


_HINT = 'such as {"prompt": "What is 2 + 2?", "numeric": 4}'


def read_checked_rows(
    path: Path, mapping: Mapping[str, str], known: Sequence[str], ignored: dict[str, None]
) -> Iterator[tuple[int, Row]]:
    """Rows under our names, with an id each; what is unknown goes into `ignored`.

    Raises:
        DataSetError: see `read_data`.
    """
    lines: dict[str, int] = {}
    for line, raw in read_rows(path):
        try:
            row = rename(raw, mapping)
        except ValueError as exc:
            there = ", ".join(raw) or "none"
            fail(path, line, str(exc), hint=f"columns of this line: {there}")
        for name in row:
            _notice_unknown(path, line, name, known, ignored)
        row["id"] = _id(path, line, row)
        before = lines.setdefault(row["id"], line)
        if before != line:
            fail(path, line, f"column 'id': {row['id']!r} was on line {before} already")
        yield line, row


def parse_example(path: Path, line: int, row: Row) -> Example:
    """One question from its row.

    Raises:
        DataSetError: a column is not what it should be.
    """
    cell = Cells(path, line, row)
    options: dict[str, Any] = {}
    if "tools" in row:
        options["tools"] = cell.take("tools", _tools)
    if "max_tokens" in row:
        options["max_tokens"] = int(cell.take("max_tokens", lambda v: to_number(v, 1, 2**31)))
    if "response_format" in row:
        options["response_format"] = cell.take("response_format", _object)
    grader = _grader(cell)
    return Example(
        id=row["id"],
        messages=_messages(cell),
        line=line,
        grader=grader,
        rubric=cell.take("rubric", to_text) if "rubric" in row else None,
        options=options,
        task=cell.take("task", to_text) if "task" in row else None,
        group=cell.take("group", to_text) if "group" in row else None,
        weight=cell.take("weight", to_weight) if "weight" in row else 1.0,
    )


class Cells:
    """One row, whose columns are named in errors."""

    def __init__(self, path: Path, line: int, row: Row) -> None:
        self.path, self.line, self.row = path, line, row

    def take(self, name: str, parse: Any) -> Any:
        """A column's value as `parse` reads it.

        Raises:
            DataSetError: it is something else.
        """
        try:
            value = self.row[name]
            return parse(from_cell(name, value) if isinstance(self.row, TextRow) else value)
        except (ValueError, EdgeLLMError) as exc:
            text = exc.message if isinstance(exc, EdgeLLMError) else str(exc)
            self.fail(f"column {name!r}: {text}")

    def fail(self, message: str, hint: str | None = None) -> Any:
        """Raise the error that names file and line."""
        fail(self.path, self.line, message, hint)


def _notice_unknown(
    path: Path, line: int, name: str, known: Sequence[str], ignored: dict[str, None]
) -> None:
    if name in known or name in ignored or name.startswith("feature."):
        return
    meant = nearest(name, known)
    if meant is not None:
        fail(
            path, line, f"column {name!r}: {meant!r} is perhaps meant",
            hint=f"rename it, or say --column {meant}={name}; all columns: {', '.join(known)}",
        )  # fmt: skip
    ignored[name] = None


def _id(path: Path, line: int, row: Row) -> str:
    value = row.get("id", f"line-{line}")
    if isinstance(value, bool) or not isinstance(value, str | int) or str(value).strip() == "":
        fail(path, line, f"column 'id': a text or a number is expected, not {value!r}")
    return str(value)


def _messages(cell: Cells) -> tuple[Message, ...]:
    row = cell.row
    if ("prompt" in row) == ("messages" in row):
        cell.fail("either 'prompt' or 'messages' is expected", hint=_HINT)
    name = "prompt" if "prompt" in row else "messages"
    system = cell.take("system", to_text) if "system" in row else None
    parse = to_text if name == "prompt" else _message_list
    return tuple(messages_from(cell.take(name, parse), system))


def _message_list(value: Any) -> Sequence[Message]:
    is_list = isinstance(value, list) and value and all(isinstance(m, dict) for m in value)
    if not is_list or any("role" not in m for m in value):
        raise ValueError('a list such as [{"role": "user", "content": "hi"}] is expected')
    if value[-1]["role"] not in ("user", "tool"):
        raise ValueError("the last message must be the user's or a tool's: it is to be answered")
    return messages_from(value, None)


def _grader(cell: Cells) -> Any:
    named = [name for name in GRADERS if name in cell.row]
    if not named:
        return None
    if len(named) > 1:
        cell.fail(f"one reference is expected, and there are {' and '.join(map(repr, named))}")
    options = dict(cell.take("options", _object)) if "options" in cell.row else {}
    if "choices" in cell.row:
        options["choices"] = cell.take("choices", _choices)
    name = named[0]
    return cell.take(name, lambda value: create_grader(name, value, options))


def _choices(value: Any) -> Any:
    return value.split("|") if isinstance(value, str) else value


def _tools(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise ValueError("a list of OpenAI-style tool definitions is expected")
    return value


def _object(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is expected, not {value!r}")
    return value
