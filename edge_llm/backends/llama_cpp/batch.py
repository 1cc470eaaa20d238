"""One reusable llama.cpp batch, filled through numpy views instead of ctypes writes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.base import BatchItem


class TokenBatch:
    """Owns the arrays behind a `llama_batch` of up to `capacity` tokens, one sequence each."""

    def __init__(self, lib: ModuleType, capacity: int) -> None:
        self.capacity = capacity
        self._token = np.zeros(capacity, np.int32)
        self._position = np.zeros(capacity, np.int32)
        self._num_seq_ids = np.ones(capacity, np.int32)
        self._seq_id = np.zeros(capacity, np.int32)
        self._wants_logits = np.zeros(capacity, np.int8)
        # llama.cpp takes a pointer per token to a list of sequences; all our lists have one entry.
        self._seq_id_pointers = (
            self._seq_id.ctypes.data + np.arange(capacity, dtype=np.uintp) * self._seq_id.itemsize
        )
        self.struct: Any = lib.llama_batch()
        self.struct.embd = None
        self._point(lib)

    def _point(self, lib: ModuleType) -> None:
        types = dict(lib.llama_batch._fields_)
        arrays: dict[str, NDArray[Any]] = {
            "token": self._token,
            "pos": self._position,
            "n_seq_id": self._num_seq_ids,
            "seq_id": self._seq_id_pointers,
            "logits": self._wants_logits,
        }
        for name, array in arrays.items():
            setattr(self.struct, name, ctypes.cast(array.ctypes.data, types[name]))

    def fill(self, items: Sequence[BatchItem]) -> int:
        """Write the items one after another; returns how many tokens want logits.

        Raises:
            ValueError: more tokens than `capacity`: llama.cpp would abort the process; or more
                outputs than tokens: it would compute fewer rows than are then read.
        """
        start = 0
        num_outputs = 0
        for item in items:
            end = start + len(item.token_ids)
            if end > self.capacity:
                raise ValueError(f"batch holds more than {self.capacity} tokens")
            if not 0 <= item.num_outputs <= end - start:
                raise ValueError(f"{item.num_outputs} outputs of {end - start} tokens")
            self._token[start:end] = item.token_ids
            self._position[start:end] = range(item.position, item.position + end - start)
            self._seq_id[start:end] = item.seq_id
            self._wants_logits[start:end] = 0
            self._wants_logits[end - item.num_outputs : end] = 1
            num_outputs += item.num_outputs
            start = end
        self.struct.n_tokens = start
        return num_outputs
