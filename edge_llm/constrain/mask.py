"""Which tokens of a vocabulary are allowed, one bit each."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray


class TokenMask:
    """A set of token ids. A view: what it was made from must not change while it is used."""

    def __init__(self, words: NDArray[np.uint32], vocab_size: int) -> None:
        """Bit `i % 32` of word `i // 32` is token `i`; bits from `vocab_size` on mean nothing."""
        self._words = words
        self.vocab_size = vocab_size

    @cached_property
    def num_allowed(self) -> int:
        """How many tokens are allowed; bits beyond the vocabulary count as well."""
        return int(np.bitwise_count(self._words).sum(dtype=np.int64))

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """The allowed tokens in rising order: cheap where they are few."""
        words = np.flatnonzero(self._words)
        bits = np.unpackbits(self._words[words].view(np.uint8), bitorder="little")
        found = np.flatnonzero(bits)
        ids: NDArray[np.int64] = words[found >> 5] * 32 + (found & 31)
        return ids[: int(np.searchsorted(ids, self.vocab_size))]

    @cached_property
    def forbidden_ids(self) -> NDArray[np.int64]:
        """The other tokens in rising order: cheap where they are few."""
        return TokenMask(~self._words, self.vocab_size).ids

    @cached_property
    def flags(self) -> NDArray[np.bool_]:
        """Whether each token is allowed: (vocab_size,)."""
        bits = np.unpackbits(self._words.view(np.uint8), count=self.vocab_size, bitorder="little")
        return bits.view(np.bool_)
