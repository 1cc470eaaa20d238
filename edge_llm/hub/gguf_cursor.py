"""A reader of the parts that GGUF files are made of, which never leaves the file."""

from __future__ import annotations

from pathlib import Path

from edge_llm.errors import ModelFormatError, TruncatedModelError
from edge_llm.hub.byte_source import ByteSource
from edge_llm.hub.gguf_types import U32, U64

DOWNLOAD_AGAIN = "download it again"


class Cursor:
    """A position that can only move within the file; `data` reaches beyond it at all times."""

    def __init__(self, path: Path, source: ByteSource, position: int) -> None:
        self.path = path
        self.data = source.data
        self.position = position
        self.end = source.size
        self._source = source
        self._num_loaded = len(source.data)

    def take(self, num_bytes: int, what: str) -> int:
        """Step over `num_bytes`; the position before the step."""
        start = self.position
        if num_bytes > self.end - start:
            missing = num_bytes - (self.end - start)
            raise TruncatedModelError(
                f"{str(self.path)!r} ends inside {what}: {missing} bytes are missing",
                hint=DOWNLOAD_AGAIN,
            )
        self.move_to(start + num_bytes)
        return start

    def move_to(self, position: int) -> None:
        """Stand at a position of the file, with everything before it at hand."""
        self.load(position)
        self.position = position

    def load(self, stop: int) -> None:
        """Have the bytes up to `stop` at hand."""
        if stop > self._num_loaded:
            self._source.require(stop)
            self.data = self._source.data
            self._num_loaded = len(self.data)

    def bytes_from(self, start: int) -> bytes:
        """What was stepped over since `start`."""
        return bytes(self.data[start : self.position])

    def u32(self, what: str) -> int:
        """The next 4 bytes as a number."""
        start = self.take(4, what)
        return int(U32.unpack_from(self.data, start)[0])

    def u64(self, what: str) -> int:
        """The next 8 bytes as a number."""
        start = self.take(8, what)
        return int(U64.unpack_from(self.data, start)[0])

    def count(self, what: str, min_bytes: int, limit: int) -> int:
        """A count of things of at least `min_bytes` each that may still follow."""
        number = self.u64(f"the number of {what}")
        if number > limit:
            raise ModelFormatError(
                f"{str(self.path)!r} claims {number} {what}; {limit} is the most that is accepted",
                hint=f"the file is damaged: {DOWNLOAD_AGAIN}",
            )
        missing = number * min_bytes - (self.end - self.position)
        if missing > 0:
            raise TruncatedModelError(
                f"{str(self.path)!r} promises {number} {what}, but at least {missing} bytes of them"
                " are missing",
                hint=DOWNLOAD_AGAIN,
            )
        return number

    def raw_string(self, what: str, limit: int) -> bytes:
        """The next string, undecoded, of at most `limit` bytes."""
        length = self.u64(f"the length of {what}")
        if length > min(limit, self.end):
            raise ModelFormatError(
                f"{str(self.path)!r}: {what} claims {length} bytes;"
                f" {min(limit, self.end)} is the most possible"
            )
        return self.bytes_from(self.take(length, what))

    def text(self, what: str, limit: int) -> str:
        """The next string, which must be UTF-8."""
        raw = self.raw_string(what, limit)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ModelFormatError(
                f"{str(self.path)!r}: {what} is not UTF-8: {raw[:40]!r}"
            ) from exc

    def name(self, what: str, limit: int) -> str:
        """The next string, which names something: not empty and without NUL."""
        name = self.text(what, limit)
        if not name or "\0" in name:
            raise ModelFormatError(f"{str(self.path)!r}: {what} is {name[:40]!r}")
        return name
