"""Events from bytes: the same whatever pieces they come in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.cloud.sse import EventTooLargeError, SSEParser

LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"", b": comment", b"id: 7", b"event: x", b"data: \xc3\xa9"]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def parse(pieces: list[bytes]) -> list[bytes]:
    parser = SSEParser(max_event_bytes=1000)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return [*events, *parser.finish()]


@given(st.lists(st.tuples(LINES, ENDS), max_size=60), st.lists(st.integers(0, 200)))
def test_pieces_do_not_matter(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    whole = b"".join(line + end for line, end in lines)
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]

    assert parse(pieces) == parse([bytes([byte]) for byte in whole]) == expected(lines)


def expected(lines: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The rule of the standard, line by line; a CR and an LF that meet are one end."""
    whole = b"".join(line + end for line, end in lines)
    events: list[bytes] = []
    data: list[bytes] | None = None
    for line in whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            data = [*(data or []), value.removeprefix(b" ")]
        elif not line and data is not None:
            events.append(b"\n".join(data))
            data = None
    return events if data is None else [*events, b"\n".join(data)]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert parse([b"\xef\xbb\xbfdata: a\n\n"]) == [b"a"]


@pytest.mark.parametrize("whole", [b"data: " + b"x" * 2000, b"data: x\n" * 2000, b"x" * 2000])
def test_an_event_without_end_is_refused(whole: bytes) -> None:
    with pytest.raises(EventTooLargeError):
        parse([whole[start : start + 10] for start in range(0, len(whole), 10)])
