"""A header is parsed the same from a file and from windows of any size; sources that lie."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from struct import pack

import pytest

from edge_llm.errors import EdgeLLMError, ModelFormatError, TruncatedModelError
from edge_llm.hub.byte_source import (
    FIRST_WINDOW_BYTES,
    MAX_WINDOW_BYTES,
    ByteSource,
    RangeSource,
    WholeSource,
)
from edge_llm.hub.gguf import check_loadable, read_gguf
from edge_llm.hub.gguf_parse import parse_gguf
from edge_llm.prompt.gguf_vocabulary import GGUFVocabulary
from tests.support.gguf_files import TinySpec, tiny_model, write_tiny_model
from tests.support.gguf_mutants import load_base, mutants


class Server:
    """A file that gives what it is asked for, or less, and remembers what it gave."""

    def __init__(self, data: bytes, most: int = 1 << 62) -> None:
        self.data = data
        self.most = most
        self.asked: list[tuple[int, int]] = []

    def __call__(self, start: int, stop: int) -> bytes:
        self.asked.append((start, stop))
        return self.data[start : min(stop, start + self.most)]


@pytest.mark.parametrize("most", [1, 7, 100, 1 << 20])
def test_short_reads_change_nothing(tmp_path: Path, most: int) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    data = path.read_bytes()

    parsed = parse_gguf(path, RangeSource("tiny", len(data), Server(data, most)))

    assert parsed == read_gguf(path)


def test_no_byte_is_asked_for_twice_and_few_in_vain() -> None:
    data = tiny_model(TinySpec(extra_tokens=30_000))
    server = Server(data + bytes(64))
    source = RangeSource("tiny", len(data), server)

    parsed = parse_gguf(Path("tiny"), source)

    starts = [start for start, _ in server.asked]
    stops = [stop for _, stop in server.asked]
    assert starts == [0, *stops[:-1]]
    assert server.asked[0] == (0, FIRST_WINDOW_BYTES)
    assert stops[-1] <= parsed.data_offset + MAX_WINDOW_BYTES
    assert stops[-1] < len(data)


def test_a_source_that_ends_before_its_size_is_named() -> None:
    data = tiny_model(TinySpec())

    with pytest.raises(TruncatedModelError, match="'tiny' was said to have"):
        parse_gguf(Path("tiny"), RangeSource("tiny", len(data), Server(data[:3000])))


def test_a_size_smaller_than_the_file_is_found_out() -> None:
    data = tiny_model(TinySpec())

    with pytest.raises(TruncatedModelError, match="bytes are missing"):
        parse_gguf(Path("tiny"), RangeSource("tiny", len(data) - 1000, Server(data)))


def test_a_header_that_claims_gigabytes_is_not_fetched() -> None:
    head = b"GGUF" + pack("<IQQ", 3, 0, 1) + pack("<Q", 1) + b"k" + pack("<IQ", 8, 100 << 20)
    server = Server(head + bytes(1000))

    with pytest.raises(ModelFormatError, match="claims more than"):
        parse_gguf(Path("tiny"), RangeSource("tiny", 4 << 30, server))

    assert sum(stop - start for start, stop in server.asked) <= FIRST_WINDOW_BYTES


def test_strings_that_claim_gigabytes_are_not_fetched() -> None:
    key = pack("<Q", 1) + b"k" + pack("<IIQ", 9, 8, 2) + pack("<Q", 1 << 31)
    head = b"GGUF" + pack("<IQQ", 3, 0, 1) + key
    server = Server(head + bytes(1000))

    with pytest.raises(ModelFormatError, match="claims more than"):
        parse_gguf(Path("tiny"), RangeSource("tiny", 4 << 30, server))


@pytest.mark.parametrize("size", [0, 4, 23])
def test_a_file_too_small_for_a_header_is_named(size: int) -> None:
    data = b"GGUF" + bytes(30)

    with pytest.raises(ModelFormatError):
        parse_gguf(Path("tiny"), RangeSource("tiny", size, Server(data)))


def outcome(source: ByteSource) -> str:
    """What becomes of a file: its facts, or the error."""
    try:
        parsed = parse_gguf(Path("m.gguf"), source)
        check_loadable(parsed)
        vocabulary = GGUFVocabulary(parsed)
    except EdgeLLMError as error:
        return f"{type(error).__name__}: {error.message}"
    return f"{sorted(parsed.tensors)} {vocabulary.eog_ids}"


def test_damaged_files_are_judged_the_same_from_windows(tmp_path: Path) -> None:
    base = load_base(write_tiny_model(tmp_path / "base.gguf"))
    rng = Random(7)

    outcomes = Counter[bool]()
    for mutant in mutants(base, 300, seed=7):
        whole = outcome(WholeSource(mutant.data))
        server = Server(mutant.data, most=rng.choice((50, 1000, 1 << 20)))
        windows = outcome(RangeSource("m.gguf", len(mutant.data), server))
        outcomes[windows == whole] += 1
        # Only what claims more than any header has is found out earlier, by another error.
        assert windows == whole or "claims more than" in windows, mutant.label

    assert outcomes[True] > 280
