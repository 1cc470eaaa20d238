"""The rows of a JSONL, CSV or TSV file, one after the other; a file of any size.

A row is a dict by column with the number of the line where it begins. Empty lines are passed over.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from edge_llm.errors import DataSetError

MAX_LINE_BYTES = 16 << 20
"""Of one line of JSON, or one cell; longer ones are no row but a file of something else."""
_TABLES = {".csv": ",", ".tsv": "\t"}
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Row = dict[str, Any]


class TextRow(Row):
    """A row of a table: all of its values are texts, whatever they mean."""


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Number of the line and row, for every row; CSV by the suffix or by the first character.

    Raises:
        DataSetError: the file cannot be read, or a line is no row; it names the line.
    """
    try:
        with path.open("rb") as stream:
            lines = _decoded(path, stream)
            first = next(lines, None)
            if first is None:
                raise DataSetError(f"{_name(path)} is empty", hint="one question on each line")
            rest = _again(first, lines)
            delimiter = _delimiter(path, first[1])
            yield from _objects(path, rest) if delimiter is None else _cells(path, rest, delimiter)
    except OSError as exc:
        raise DataSetError(f"{_name(path)} cannot be read: {exc.strerror or exc}") from exc


def fail(path: Path, line: int, message: str, hint: str | None = None) -> NoReturn:
    """Raise the error that names file and line.

    Raises:
        DataSetError: always.
    """
    raise DataSetError(f"{_name(path)}, line {line}: {message}", hint=hint)


def _name(path: Path) -> str:
    return repr(str(path))


def _delimiter(path: Path, first: str) -> str | None:
    """What separates cells; None where lines are JSON."""
    if path.suffix.lower() in _TABLES:
        return _TABLES[path.suffix.lower()]
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json") or first.lstrip()[:1] in "{[":
        return None
    return "\t" if "\t" in first else ","


def _decoded(path: Path, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, from 1, without their ends and without a byte-order mark."""
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            fail(path, number, f"it is longer than {MAX_LINE_BYTES >> 20} MiB")
        if number == 1:
            if raw.startswith(_WIDE_MARKS):
                fail(path, 1, "the file is UTF-16", hint="save it as UTF-8")
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            fail(path, number, f"byte {exc.start + 1} is no UTF-8", hint="save the file as UTF-8")
        yield number, text


def _again(first: tuple[int, str], rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest


def _objects(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, Row]]:
    for number, text in lines:
        if text.strip():
            yield number, _object(path, number, text)


def _object(path: Path, number: int, text: str) -> Row:
    def no_twins(pairs: Sequence[tuple[str, Any]]) -> Row:
        row = dict(pairs)
        if len(row) < len(pairs):
            names = [name for name, _ in pairs]
            twin = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twin!r} is there twice")
        return row

    def no_constants(text: str) -> NoReturn:
        raise ValueError(f"{text} is no JSON")

    try:
        row = json.loads(text, object_pairs_hook=no_twins, parse_constant=no_constants)
    except json.JSONDecodeError as exc:
        fail(path, number, f"column {exc.colno}: {exc.msg}", _hint(number, text))
    except ValueError as exc:
        fail(path, number, str(exc))
    except RecursionError:
        fail(path, number, "it is nested too deeply")
    if not isinstance(row, dict):
        fail(path, number, f"an object is expected, not {type(row).__name__}", _hint(number, text))
    return row


def _hint(number: int, text: str) -> str:
    if number == 1 and text.lstrip().startswith("["):
        return "one object on each line, not one list of them: jq -c '.[]' file.json > file.jsonl"
    if number == 1 and text.strip() == "{":
        return "each object must be on one line: jq -c . file.json > file.jsonl"
    return 'such as {"prompt": "What is 2 + 2?", "numeric": 4}'


def _cells(
    path: Path, lines: Iterator[tuple[int, str]], delimiter: str
) -> Iterator[tuple[int, Row]]:
    last = 0

    def texts() -> Iterator[str]:
        nonlocal last
        for number, text in lines:
            last = number
            yield text

    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        _check_header(path, header)
        begins = last + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) != len(header):
                    fail(path, begins, f"{len(cells)} cells, and the header has {len(header)}")
                yield begins, _row(header, cells)
            begins = last + 1
    except csv.Error as exc:
        fail(path, last, str(exc), hint='a cell with quotes doubles them: "say ""hi"""')


def _row(header: Sequence[str], cells: Sequence[str]) -> Row:
    """The cells that are not empty."""
    pairs = zip(header, cells, strict=True)
    return TextRow({name: cell for name, cell in pairs if cell.strip()})


def _check_header(path: Path, header: Sequence[str]) -> None:
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        fail(path, 1, f"two columns are called {twice!r}")
