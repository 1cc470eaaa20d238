"""Only what was written comes out of a snapshot file, and of nothing else does anything."""

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.engine.snapshot_file import (
    SnapshotDamagedError,
    SnapshotForeignError,
    SnapshotHeader,
    encoded_parts,
    file_size,
    pack_tokens,
    read_header,
    read_state,
)

REFUSALS = (SnapshotDamagedError, SnapshotForeignError)

HEADERS = st.builds(
    lambda fingerprint, tokens, label: (fingerprint, pack_tokens(tokens), label),
    st.binary(min_size=32, max_size=32),
    st.lists(st.integers(0, 2**32 - 1), max_size=50),
    st.text(st.characters(codec="utf-8"), max_size=40),
)


def write(path: Path, header: SnapshotHeader, state: bytes) -> bytes:
    data = b"".join(encoded_parts(header, state))
    path.write_bytes(data)
    path.chmod(0o600)
    return data


def small(path: Path) -> tuple[SnapshotHeader, bytes]:
    header = SnapshotHeader(bytes(range(32)), pack_tokens([1, 2, 3]), 40, "tiny")
    return header, write(path, header, random.Random(0).randbytes(40))


@given(HEADERS, st.binary(max_size=300))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[bytes, bytes, str], state: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.kv"
    header = SnapshotHeader(made[0], made[1], len(state), made[2])

    data = write(path, header, state)

    assert len(data) == file_size(header)
    assert read_header(path) == header
    assert read_state(path, header) == state


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.kv"
    header, data = small(path)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(REFUSALS):
                read_state(path, header)


def test_every_truncation_and_every_tail_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.kv"
    header, data = small(path)
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(SnapshotDamagedError):
            read_state(path, header)
    for tail in (b"\0", b"\0" * 4096, data):
        path.write_bytes(data + tail)
        with pytest.raises(SnapshotDamagedError):
            read_state(path, header)
        with pytest.raises(SnapshotDamagedError):
            read_header(path)


def test_zeroed_blocks_are_refused(tmp_path: Path) -> None:
    # What a file system may leave after a power cut: the right length, and nothing in it.
    path = tmp_path / "a.kv"
    state = random.Random(1).randbytes(20_000)
    header = SnapshotHeader(bytes(32), pack_tokens(range(100)), len(state))
    data = write(path, header, state)
    for start in range(0, len(data), 512):
        path.write_bytes(data[:start] + bytes(min(512, len(data) - start)) + data[start + 512 :])
        with pytest.raises(REFUSALS):
            read_state(path, header)


def test_a_promise_of_a_huge_state_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.kv"
    header, _ = small(path)
    huge = b"".join(encoded_parts(SnapshotHeader(header.fingerprint, header.tokens, 2**60), b""))
    path.write_bytes(huge)

    with pytest.raises(SnapshotDamagedError, match="do not add up"):
        read_state(path, header)


def test_another_prefix_or_fingerprint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.kv"
    header, _ = small(path)

    for other in (
        SnapshotHeader(header.fingerprint, pack_tokens([1, 2, 4]), 40),
        SnapshotHeader(bytes(32), header.tokens, 40),
    ):
        with pytest.raises(SnapshotForeignError):
            read_state(path, other)


def test_what_is_no_file_of_ours_alone_is_left_alone(tmp_path: Path) -> None:
    path, link, pipe = tmp_path / "a.kv", tmp_path / "b.kv", tmp_path / "c.kv"
    small(path)
    link.symlink_to(path)
    os.mkfifo(pipe)

    path.chmod(0o622)
    with pytest.raises(SnapshotForeignError, match="another user"):
        read_header(path)
    with pytest.raises(OSError, match="symbolic links"):
        read_header(link)
    with pytest.raises(SnapshotForeignError, match="regular"):
        read_header(pipe)


@pytest.mark.parametrize("token_id", [-1, 2**32])
def test_token_ids_out_of_range_are_refused(token_id: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        pack_tokens([1, token_id])
