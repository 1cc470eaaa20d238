"""The file of one snapshot: the tokens of a prefix and the KV state a backend exported for them.

    magic 8 · version u32 · label bytes u32 · tokens u32 · state bytes u64 · fingerprint 32
    label (UTF-8) · token ids u32 each · BLAKE2b-256 of all so far
    state · BLAKE2b-256 of all so far

Little-endian. The lengths must add up to the size of the file before any of them is believed, and
both sums must hold before the state is given out: native code trusts it, and aborts on a short one.
No compression: zlib at its fastest takes 9 % off an F16 state, at 34 MB/s on a desktop core.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from struct import Struct, error, pack
from typing import BinaryIO

MAGIC = b"EDGELLM\x1a"
VERSION = 1
TOKEN_BYTES = 4
DIGEST_BYTES = 32
MAX_TOKENS = 1 << 22
MAX_LABEL_BYTES = 256

_FIXED = Struct("<8sIIIQ32s")


class SnapshotDamagedError(Exception):
    """The file is not what was written; it can only be removed. Never leaves the store."""


class SnapshotForeignError(Exception):
    """A sound file that is not for us: another version, model or owner. Never leaves the store."""


@dataclass(frozen=True, slots=True)
class SnapshotHeader:
    """What a snapshot is of."""

    fingerprint: bytes
    """32 bytes: everything that the state depends on."""
    tokens: bytes = field(repr=False)
    """The token ids of the prefix, as `pack_tokens` gives them."""
    state_bytes: int
    label: str = ""
    """The model's name, for people."""

    @property
    def num_tokens(self) -> int:
        """Length of the prefix in tokens."""
        return len(self.tokens) // TOKEN_BYTES


def pack_tokens(token_ids: Sequence[int]) -> bytes:
    """Token ids as bytes: one prefix is the start of another exactly when its bytes are.

    Raises:
        ValueError: an id that is no unsigned number of 32 bits.
    """
    try:
        return pack(f"<{len(token_ids)}I", *token_ids)
    except error as exc:
        raise ValueError(f"a token id is out of range: {exc}") from exc


def encode_header(header: SnapshotHeader) -> bytes:
    """The bytes that come before the state."""
    label = header.label.encode("utf-8", "replace")[:MAX_LABEL_BYTES]
    fixed = _FIXED.pack(
        MAGIC, VERSION, len(label), header.num_tokens, header.state_bytes, header.fingerprint
    )
    body = fixed + label + header.tokens
    return body + _digest(body)


def file_size(header: SnapshotHeader) -> int:
    """Size in bytes of the whole file with this header."""
    return len(encode_header(header)) + header.state_bytes + DIGEST_BYTES


def read_header(path: Path) -> SnapshotHeader:
    """The header of a file, its sum checked; the state is not read.

    Raises:
        SnapshotDamagedError: it is not as it was written.
        SnapshotForeignError: another version wrote it, or another user may have.
        OSError: it cannot be read.
    """
    with _open(path) as (file, size):
        return _read_header(file, size)[0]


def read_state(path: Path, expected: SnapshotHeader) -> bytes:
    """The state in a file, everything about it checked.

    Raises:
        SnapshotDamagedError: it is not as it was written.
        SnapshotForeignError: it is of another prefix or fingerprint, or another user may have
            written it.
        OSError: it cannot be read.
    """
    with _open(path) as (file, size):
        header, raw = _read_header(file, size)
        if (header.fingerprint, header.tokens) != (expected.fingerprint, expected.tokens):
            raise SnapshotForeignError("it is of another prefix")
        state = file.read(header.state_bytes)
        checksum = blake2b(raw, digest_size=DIGEST_BYTES)
        checksum.update(state)
        if len(state) != header.state_bytes or file.read() != checksum.digest():
            raise SnapshotDamagedError("the checksum does not hold")
        return state


def encoded_parts(header: SnapshotHeader, state: bytes) -> Iterator[bytes]:
    """The whole file in pieces, without a second copy of the state."""
    head = encode_header(header)
    checksum = blake2b(head, digest_size=DIGEST_BYTES)
    checksum.update(state)
    yield head
    yield state
    yield checksum.digest()


@contextmanager
def _open(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The open file and its size; nothing is followed or waited for, and nobody else can write."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise SnapshotForeignError("it is no regular file")
        # The state goes to native code that trusts it, so it must come from this user.
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            raise SnapshotForeignError("another user could have written it")
        yield file, found.st_size


def _read_header(file: BinaryIO, size: int) -> tuple[SnapshotHeader, bytes]:
    fixed = file.read(_FIXED.size)
    if len(fixed) != _FIXED.size or not fixed.startswith(MAGIC):
        raise SnapshotDamagedError("it does not begin as a snapshot does")
    _, version, label_bytes, num_tokens, state_bytes, fingerprint = _FIXED.unpack(fixed)
    if version != VERSION:
        raise SnapshotForeignError(f"it has the version {version}")
    if label_bytes > MAX_LABEL_BYTES or num_tokens > MAX_TOKENS:
        raise SnapshotDamagedError("its lengths are out of range")
    rest = label_bytes + num_tokens * TOKEN_BYTES
    if _FIXED.size + rest + DIGEST_BYTES + state_bytes + DIGEST_BYTES != size:
        raise SnapshotDamagedError(f"its lengths do not add up to its {size} bytes")
    body = file.read(rest)
    digest = file.read(DIGEST_BYTES)
    if digest != _digest(fixed + body):
        raise SnapshotDamagedError("the checksum of its header does not hold")
    label = body[:label_bytes].decode("utf-8", "replace")
    header = SnapshotHeader(fingerprint, body[label_bytes:], state_bytes, label)
    return header, fixed + body + digest


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
