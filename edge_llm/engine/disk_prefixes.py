"""Moves prefixes between the KV cache and the disk: what to load, and what is worth a write."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Sequence as Items

from edge_llm.backends.base import Backend
from edge_llm.engine.scheduler import Scheduler
from edge_llm.engine.sequence import Sequence
from edge_llm.engine.snapshots import SnapshotStore
from edge_llm.errors import BackendError

logger = logging.getLogger(__name__)

MIN_PREFIX_TOKENS = 64
"""Shorter prefixes are computed sooner than they are read and checked."""


class DiskPrefixes:
    """Restores and offers prefixes for one engine; only its thread calls."""

    def __init__(self, backend: Backend, scheduler: Scheduler, store: SnapshotStore) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self.store = store
        self._special_ids = frozenset(token.id for token in backend.tokenizer.special_tokens)

    def restore(self, sequence: Sequence) -> None:
        """Begin an admitted sequence with a stored prefix, where that is longer than what it has.

        The last token is left over: a snapshot holds no logits to go on from.
        """
        match = self.store.match(sequence.token_ids[:-1])
        if match is None or match.num_tokens < sequence.num_computed + MIN_PREFIX_TOKENS:
            return
        if not self._scheduler.has_room(match.num_tokens):
            return
        state = self.store.load(match)
        if state is None:
            return
        seq_id = _seq_id(sequence)
        self._backend.free(seq_id)
        self._scheduler.start_over(sequence)
        try:
            self._backend.import_(seq_id, state)
        except BackendError:
            self.store.discard(match)
        else:
            self._scheduler.adopt(sequence, match.num_tokens)

    def offer(self, sequence: Sequence) -> None:
        """Offer what an admitted sequence had in common with an earlier one.

        Cut back to a control token: two questions under one system prompt often share their first
        words too, but only the system prompt will come again.
        """
        length = self._stable_length(sequence)
        if length >= MIN_PREFIX_TOKENS and self._scheduler.has_free_seq_id:
            self._save(sequence.token_ids[:length], lambda: self._export(sequence, length))

    def keep(self, sequence: Sequence) -> None:
        """Write a computed prompt that is pinned."""
        tokens = sequence.token_ids[: sequence.num_computed]
        self._save(tokens, lambda: self._backend.export(_seq_id(sequence)), pinned=True)

    def keep_parked(self, seq_id: int, tokens: Items[int]) -> None:
        """Write the state of a parked sequence that has to leave the KV cache."""
        if len(tokens) >= MIN_PREFIX_TOKENS:
            self._save(tokens, lambda: self._backend.export(seq_id), pinned=True)

    def close(self) -> None:
        """Write what was accepted and end the writing thread."""
        self.store.close()

    def _save(
        self, token_ids: Items[int], state: Callable[[], bytes], *, pinned: bool = False
    ) -> None:
        try:
            self.store.save(token_ids, state, pinned=pinned)
        except BackendError as error:
            logger.warning("a prefix could not be exported, so it is not kept on disk: %s", error)

    def _stable_length(self, sequence: Sequence) -> int:
        if not self._backend.capabilities.can_truncate:
            return sequence.num_computed
        for length in range(sequence.num_computed, 0, -1):
            if sequence.token_ids[length - 1] in self._special_ids:
                return length
        return 0

    def _export(self, sequence: Sequence, length: int) -> bytes:
        """The state of the first `length` tokens, by way of a sequence id that is free just now."""
        seq_id = _seq_id(sequence)
        if length == sequence.num_computed:
            return self._backend.export(seq_id)
        with self._scheduler.borrowed_seq_id() as borrowed:
            try:
                self._backend.fork(seq_id, borrowed, length)
                self._backend.truncate(borrowed, length)
                return self._backend.export(borrowed)
            finally:
                self._backend.free(borrowed)


def _seq_id(sequence: Sequence) -> int:
    assert sequence.seq_id is not None, "an admitted sequence holds an id"
    return sequence.seq_id
