"""Files as people have them: saved by editors, spreadsheets and scripts."""

from pathlib import Path

import pytest

from edge_llm.errors import DataSetError
from edge_llm.evaluate.data.lines import read_rows


def write(folder: Path, data: str | bytes, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_a_byte_order_mark_windows_line_ends_and_empty_lines_change_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}\r\n')

    assert list(read_rows(path)) == [(1, {"a": 1}), (4, {"a": 2})]


def test_a_cell_may_hold_lines_and_quotes_and_the_row_is_named_by_its_first_line(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, 'prompt,exact\n"two\nlines ""so""",x\n\nlast,\n', "data.csv")

    assert list(read_rows(path)) == [
        (2, {"prompt": 'two\nlines "so"', "exact": "x"}),
        (5, {"prompt": "last"}),
    ]


def test_a_file_without_a_telling_suffix_is_known_by_its_first_character(tmp_path: Path) -> None:
    assert list(read_rows(write(tmp_path, "a\tb\n1\t2\n", "data"))) == [(2, {"a": "1", "b": "2"})]
    assert list(read_rows(write(tmp_path, '{"a": 1}', "data"))) == [(1, {"a": 1})]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b'{"a": 1}\n{"a": }\n', "line 2: column 7"),
        (b'[{"a": 1}]\n', "line 1: an object is expected, not list"),
        (b'{\n  "a": 1\n}\n', "line 1: column"),
        (b'{"a": 1}\n{"a": "\xff"}\n', "line 2: byte 8 is no UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16"),
        (b'{"a": 1, "a": 2}\n', "line 1: 'a' is there twice"),
        (b'{"a": NaN}\n', "NaN is no JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}\n", "line 1"),
        (b'{"a": ' + b"[" * 100_000 + b"}\n", "line 1"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(DataSetError, match=said):
        list(read_rows(write(tmp_path, data)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("a,b\n1,2,3\n", "line 2: 3 cells, and the header has 2"),
        ("a,a\n1,2\n", "line 1: two columns are called 'a'"),
        ('a,b\n1,"open\n', "line 2"),
    ],
)
def test_a_table_that_is_none_is_named(tmp_path: Path, data: str, said: str) -> None:
    with pytest.raises(DataSetError, match=said):
        list(read_rows(write(tmp_path, data, "data.csv")))


def test_a_line_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_llm.evaluate.data.lines.MAX_LINE_BYTES", 1 << 20)

    with pytest.raises(DataSetError, match="longer than 1 MiB"):
        list(read_rows(write(tmp_path, b'{"a": "' + b"x" * (2 << 20))))


def test_rows_come_before_the_file_is_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a": 1}\n' * 3 + "broken\n")
    rows = read_rows(path)

    assert [next(rows) for _ in range(3)] == [(n, {"a": 1}) for n in (1, 2, 3)]
    with pytest.raises(DataSetError, match="line 4"):
        next(rows)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"nowhere\.jsonl' cannot be read: No such file"):
        list(read_rows(tmp_path / "nowhere.jsonl"))
