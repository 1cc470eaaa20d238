"""Where the bytes of a model file come from: this machine, or windows on a file elsewhere."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Protocol

from edge_llm.errors import ModelFormatError, TruncatedModelError

FIRST_WINDOW_BYTES = 256 << 10
"""Holds the whole header of a file without a vocabulary, as of the later parts of a split model."""
MAX_WINDOW_BYTES = 1 << 20
"""What a reader may have fetched in vain when it stops: small beside a vocabulary."""
MAX_FETCHED_BYTES = 64 << 20
"""Headers in use stay below 32 MB; a longer one is a lie that would cost somebody's data plan."""


class ByteSource(Protocol):
    """The bytes of one file, the first ones first."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        ...

    @property
    def data(self) -> bytes | bytearray | mmap.mmap:
        """What is at hand, from the first byte on; another object after `require`."""
        ...

    def require(self, stop: int) -> None:
        """Return when `data` reaches up to `stop`, which is at most `size`.

        Raises:
            ModelError: it cannot be had.
        """
        ...


class WholeSource:
    """A file all of which is at hand: mapped, or in memory."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.data = data
        self.size = len(data)

    def require(self, stop: int) -> None:
        """Nothing to do: it is all there."""


class RangeSource:
    """The start of a file elsewhere, fetched in windows that grow as a reader asks for more."""

    def __init__(
        self, name: str, size: int, fetch: Callable[[int, int], bytes], head: bytes = b""
    ) -> None:
        """`fetch(start, stop)` gives at least one of those bytes; `head` is what is there already.

        `name` is for messages.
        """
        self.size = size
        self.data = bytearray(head)
        self._name = name
        self._fetch = fetch
        self._window = FIRST_WINDOW_BYTES

    def require(self, stop: int) -> None:
        """Fetch what is missing up to `stop`, and a window at least.

        Raises:
            ModelFormatError: more than any header has.
            TruncatedModelError: the file ends before the size that it was said to have.
        """
        if stop > MAX_FETCHED_BYTES and stop > len(self.data):
            raise ModelFormatError(
                f"the header of {self._name!r} claims more than {MAX_FETCHED_BYTES} bytes",
                hint="the file is damaged: take another one",
            )
        while len(self.data) < stop:
            start = len(self.data)
            wanted = min(max(stop, start + self._window), self.size) - start
            piece = self._fetch(start, start + wanted)
            if not piece:
                raise TruncatedModelError(
                    f"{self._name!r} was said to have {self.size} bytes and ends after {start}",
                    hint="the server is wrong about its own file: try another mirror",
                )
            self.data += piece[:wanted]
            self._window = min(2 * self._window, MAX_WINDOW_BYTES)
