"""What every way of keeping KV state can do; `OnnxBackend` knows no other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class KVStore(ABC):
    """The KV state of all sequences, and the runs that read and extend it."""

    is_ragged: bool
    """`decode` takes several sequences of different lengths."""

    @abstractmethod
    def length(self, seq_id: int) -> int:
        """Tokens that a sequence holds."""

    @abstractmethod
    def binding(self, seq_id: int) -> Any:
        """A set of bindings that holds the cache of one sequence."""

    @abstractmethod
    def extend(
        self, seq_id: int, token_ids: Sequence[int], num_outputs: int, run_options: Any
    ) -> NDArray[Any]:
        """Run a chunk of one sequence: logits (num_outputs, vocab) until the next run.

        Raises:
            BackendError: the library failed; the sequence is as it was.
        """

    def decode(
        self,
        seq_ids: Sequence[int],
        token_ids: Sequence[int],
        into: NDArray[np.float32],
        run_options: Any,
    ) -> None:
        """Run one token of each sequence and write their logits (sequences, vocab).

        One sequence after the other, where nothing better can be done.

        Raises:
            BackendError: the library failed; the sequences are as they were.
        """
        for index, (seq_id, token_id) in enumerate(zip(seq_ids, token_ids, strict=True)):
            into[index] = self.extend(seq_id, [token_id], 1, run_options)[0]

    @abstractmethod
    def copy(self, source: int, target: int, length: int) -> None:
        """Let an empty sequence begin with the first tokens of another."""

    @abstractmethod
    def truncate(self, seq_id: int, length: int) -> None:
        """Forget the tokens from `length` on."""

    @abstractmethod
    def free(self, seq_id: int) -> None:
        """Forget a sequence."""

    @abstractmethod
    def state(self, seq_id: int) -> list[NDArray[Any]]:
        """All keys and values of a sequence: (heads, tokens, head_size) each."""

    @abstractmethod
    def restore(self, seq_id: int, parts: Sequence[NDArray[Any]]) -> None:
        """Fill an empty sequence with what `state` gave."""

    @abstractmethod
    def close(self) -> None:
        """Give the memory back."""
