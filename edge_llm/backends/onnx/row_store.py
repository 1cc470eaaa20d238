"""What ways of keeping KV state in the rows of a buffer have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edge_llm.backends.onnx.rows import RowCache
from edge_llm.backends.onnx.store import KVStore
from edge_llm.hub.onnx import DecoderInterface


class RowStore(KVStore):
    """Sequences in rows of a `RowCache`; how they are run is left to others."""

    def __init__(self, interface: DecoderInterface, num_rows: int, max_len: int) -> None:
        self.rows = RowCache(interface, num_rows, max_len)

    def length(self, seq_id: int) -> int:
        """See `KVStore.length`."""
        return self.rows.length(seq_id)

    def copy(self, source: int, target: int, length: int) -> None:
        """See `KVStore.copy`."""
        self.rows.copy(source, target, length)

    def truncate(self, seq_id: int, length: int) -> None:
        """See `KVStore.truncate`."""
        self.rows.set_length(seq_id, length)

    def free(self, seq_id: int) -> None:
        """See `KVStore.free`."""
        self.rows.free(seq_id)

    def state(self, seq_id: int) -> list[NDArray[Any]]:
        """See `KVStore.state`."""
        return self.rows.state(seq_id)

    def restore(self, seq_id: int, parts: Sequence[NDArray[Any]]) -> None:
        """See `KVStore.restore`."""
        self.rows.restore(seq_id, parts)

    def close(self) -> None:
        """See `KVStore.close`."""
        self.rows.close()
