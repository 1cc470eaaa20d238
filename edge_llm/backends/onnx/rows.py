"""KV state in one buffer per layer, with a row for each sequence: past and present are the same.

GroupQueryAttention writes new keys and values behind the old ones in place, and takes the length of
each row from the attention mask. A step over several rows needs them side by side, so that
sequences are moved: when one starts or ends, never while they go on.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_llm.hub.onnx import DecoderInterface

WORTH_RETURNING = 64
"""Tokens: the memory of shorter sequences stays for the next one."""

_PAGE = mmap.PAGESIZE


class RowRange(NamedTuple):
    """Rows side by side."""

    first: int
    num_rows: int


class RowCache:
    """Owns the buffers, and knows which row holds which sequence and how much of it."""

    def __init__(self, interface: DecoderInterface, num_rows: int, max_len: int) -> None:
        """Reserve the buffers; memory is taken page by page as rows fill."""
        dtype = np.dtype(interface.cache_dtype)
        shapes = [(num_rows, p.num_heads, max_len, p.head_size) for p in interface.pairs]
        self._pages = [_reserve(shape, dtype) for shape in shapes]
        self.buffers = [
            np.frombuffer(pages, dtype, math.prod(shape)).reshape(shape)
            for pages, shape in zip(self._pages, shapes, strict=True)
        ]
        """One (rows, heads, max_len, head_size) for each `CachePair`."""
        self._length = [0] * num_rows
        """Tokens of each sequence."""
        self._row = list(range(num_rows))
        """Of each sequence."""
        self._sequence = list(range(num_rows))
        """In each row."""
        self._recent = RowRange(0, 1)
        self.num_moved_tokens = 0
        """Tokens copied to bring rows together."""

    def row(self, seq_id: int) -> int:
        """Where a sequence is; empty ones are first brought near those that ran last."""
        if self._length[seq_id] == 0:
            self._settle(seq_id)
        return self._row[seq_id]

    def length(self, seq_id: int) -> int:
        """Tokens that a sequence holds."""
        return self._length[seq_id]

    def set_length(self, seq_id: int, length: int) -> None:
        """Count the tokens of a sequence anew; those beyond are forgotten."""
        self._length[seq_id] = length

    def free(self, seq_id: int) -> None:
        """Forget a sequence and give the memory of a long one back to the system."""
        length, self._length[seq_id] = self._length[seq_id], 0
        if length < WORTH_RETURNING or not hasattr(mmap, "MADV_DONTNEED"):
            return
        for pages, buffer in zip(self._pages, self.buffers, strict=True):
            start = self._row[seq_id] * buffer[0].nbytes
            first = -(-start // _PAGE) * _PAGE
            last = (start + buffer[0].nbytes) // _PAGE * _PAGE
            if first < last:
                pages.madvise(mmap.MADV_DONTNEED, first, last - first)

    def gather(self, seq_ids: Sequence[int]) -> RowRange:
        """Bring sequences side by side, in any order; where they are then."""
        rows = {self._row[seq_id] for seq_id in seq_ids}
        first, last = min(rows), max(rows)
        if last - first + 1 != len(rows):
            first = min(self._windows(len(rows)), key=lambda f: self._cost(f, rows))
            self._move_into(first, rows)
        self._recent = RowRange(first, len(rows))
        return self._recent

    def sequence_at(self, row: int) -> int:
        """The sequence in a row."""
        return self._sequence[row]

    def copy(self, source: int, target: int, length: int) -> None:
        """Let an empty sequence begin with the first tokens of another."""
        target_row = self.row(target)
        source_row = self._row[source]
        for buffer in self.buffers:
            buffer[target_row, :, :length] = buffer[source_row, :, :length]
        self._length[target] = length

    def state(self, seq_id: int) -> list[NDArray[np.generic]]:
        """Keys and values of a sequence, layer by layer: views of (heads, tokens, head_size)."""
        row, length = self._row[seq_id], self._length[seq_id]
        return [buffer[row, :, :length] for buffer in self.buffers]

    def restore(self, seq_id: int, parts: Sequence[NDArray[np.generic]]) -> None:
        """Fill an empty sequence with what `state` gave."""
        row = self.row(seq_id)
        length = parts[0].shape[1]
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[row, :, :length] = part
        self._length[seq_id] = length

    def close(self) -> None:
        """Forget the buffers."""
        self.buffers, self._pages = [], []

    def _settle(self, seq_id: int) -> None:
        """Give an empty sequence the empty row that is nearest to those that ran last."""
        first, count = self._recent
        wanted = [*range(first, first + count + 1), *range(first - 1, -1, -1)]
        wanted += range(first + count + 1, len(self._row))
        for row in wanted:
            if row < len(self._row) and self._length[self._sequence[row]] == 0:
                self._swap_names(self._row[seq_id], row)
                return

    def _windows(self, count: int) -> range:
        return range(len(self._row) - count + 1)

    def _cost(self, first: int, rows: set[int]) -> tuple[int, int]:
        """Tokens that have to be copied to bring `rows` into the window at `first`."""
        window = range(first, first + len(rows))
        inside = rows.intersection(window)
        moving = sum(self._length[self._sequence[row]] for row in rows - inside)
        displaced = sum(self._length[self._sequence[row]] for row in window if row not in rows)
        return moving + 2 * displaced, abs(first - self._recent.first)

    def _move_into(self, first: int, rows: set[int]) -> None:
        window = range(first, first + len(rows))
        free = iter([row for row in window if row not in rows])
        for row in sorted(rows.difference(window)):
            self._swap(row, next(free))

    def _swap(self, one: int, other: int) -> None:
        """Exchange the contents of two rows."""
        lengths = [self._length[self._sequence[row]] for row in (one, other)]
        self.num_moved_tokens += sum(lengths)
        for buffer in self.buffers:
            kept = buffer[other, :, : lengths[1]].copy()
            buffer[other, :, : lengths[0]] = buffer[one, :, : lengths[0]]
            buffer[one, :, : lengths[1]] = kept
        self._swap_names(one, other)

    def _swap_names(self, one: int, other: int) -> None:
        here, there = self._sequence[one], self._sequence[other]
        self._sequence[one], self._sequence[other] = there, here
        self._row[here], self._row[there] = other, one


def _reserve(shape: tuple[int, int, int, int], dtype: np.dtype[np.generic]) -> mmap.mmap:
    """Zeros in pages that the system provides when they are first written to."""
    num_bytes = -(-math.prod(shape) * dtype.itemsize // _PAGE) * _PAGE
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, num_bytes)
    return mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
