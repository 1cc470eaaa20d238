"""The prefix cache on disk: KV states that survive a restart, in a folder of bounded size.

The engine's thread asks (`match`, `load`) and offers (`save`); one background thread writes, so the
engine never waits for a disk to sync. Whatever the disk does, the worst that comes of it is that a
prefix is computed again: nothing here raises for it.

What is written is chosen, because SD cards wear: a prefix that is pinned, or offered a second time,
within so many bytes a day. What goes first when the folder is full is what was used longest ago,
whichever model it belongs to, pinned or not.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from edge_llm.config import EdgeConfig, cache_folder
from edge_llm.engine.snapshot_file import (
    SnapshotDamagedError,
    SnapshotForeignError,
    SnapshotHeader,
    file_size,
    pack_tokens,
    read_state,
)
from edge_llm.engine.snapshot_folder import SnapshotFolder
from edge_llm.engine.snapshot_index import SnapshotIndex, SnapshotMatch
from edge_llm.engine.snapshot_ledger import LedgerBook
from edge_llm.engine.snapshot_recency import Recency
from edge_llm.engine.snapshot_writer import (
    PendingSnapshot,
    SharedState,
    SnapshotWriter,
    seen_key,
)

__all__ = ["SnapshotMatch", "SnapshotStats", "SnapshotStore", "open_snapshot_store"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SnapshotStats:
    """What one store has done since it was opened, and what it holds."""

    hits: int = 0
    """States that were loaded."""
    misses: int = 0
    """Prompts with no stored prefix, or one that could not be loaded."""
    saved: int = 0
    evicted: int = 0
    refused_by_budget: int = 0
    """Not written because the day's budget is spent."""
    dropped: int = 0
    """Not written because the queue or the lock was busy, or the state larger than the cache."""
    failed: int = 0
    """Not written because the disk refused."""
    damaged: int = 0
    """Files that were found damaged and removed."""
    read_bytes: int = 0
    written_bytes: int = 0
    num_snapshots: int = 0
    """Held now, of this model and settings."""
    stored_bytes: int = 0
    """Their states."""


class SnapshotStore:
    """Owns the snapshots of one model with one set of settings, and the thread that writes them."""

    def __init__(
        self,
        folder: Path,
        fingerprint: str | bytes,
        *,
        max_bytes: int,
        max_daily_write_bytes: int,
        label: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        raw = fingerprint.encode() if isinstance(fingerprint, str) else fingerprint
        self._fingerprint = blake2b(raw, digest_size=32).digest()
        self._folder = SnapshotFolder(folder)
        self._max_bytes = max_bytes
        self._label = label
        self._bytes_per_token = 0.0
        self._index = SnapshotIndex(self._folder, self._fingerprint)
        self._recency = Recency(self._folder, clock)
        self._book = LedgerBook(self._folder, max_daily_write_bytes, clock)
        shared = SharedState(self._index, self._recency, self._book)
        self._counts, self._changed = shared.counts, shared.changed
        self._writer = SnapshotWriter(self._folder, shared, max_bytes)
        self._writer.prepare()
        self._index.refresh()

    def match(self, token_ids: Sequence[int]) -> SnapshotMatch | None:
        """The longest stored prefix of `token_ids`; it may be all of them.

        A state holds no logits: pass the prompt without its last token where that is to be
        computed.
        """
        tokens = pack_tokens(token_ids)
        with self._changed:
            self._index.refresh()
            found = self._index.match(tokens)
            self._counts["misses"] += found is None
        return found

    def load(self, match: SnapshotMatch) -> bytes | None:
        """The state of a match, everything about it checked; None when it cannot be had."""
        try:
            state = read_state(self._folder.path / match.name, match.header)
        except (SnapshotDamagedError, SnapshotForeignError, OSError, MemoryError) as error:
            self._give_up(match.name, error)
            return None
        with self._changed:
            self._counts["hits"] += 1
            self._counts["read_bytes"] += len(state)
            self._recency.use(match.name)
        return state

    def discard(self, match: SnapshotMatch) -> None:
        """Remove a snapshot whose state the backend refused."""
        self._give_up(match.name, SnapshotDamagedError("the backend refused its state"))

    def save(
        self,
        token_ids: Sequence[int],
        state: bytes | Callable[[], bytes],
        *,
        pinned: bool = False,
    ) -> bool:
        """Offer the state of a prefix; whether it will be written if the disk allows it.

        To be called once for a request: the second offer counts, in this process or a later one,
        and `pinned` makes it the first. A function in place of the state is called, here and now,
        only if it is wanted.
        """
        tokens = pack_tokens(token_ids)
        name = self._index.name(tokens)
        with self._changed:
            if not tokens or not self._wants(name, len(token_ids), pinned=pinned):
                return False
        data = state() if callable(state) else state
        header = SnapshotHeader(self._fingerprint, tokens, len(data), self._label)
        with self._changed:
            self._bytes_per_token = len(data) / len(token_ids)
            if not self._fits(file_size(header)):
                return False
            self._writer.put(PendingSnapshot(name, header, data))
        return True

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until all that was accepted is written or given up; False when it takes longer."""
        return self._writer.flush(timeout_s)

    def close(self, timeout_s: float = 60.0) -> None:
        """Write what was accepted and what must be remembered, and end the thread.

        A second call does nothing. A process that ends without it loses no snapshot that was
        written, only what was seen once or used in the last minutes.
        """
        if self._writer.is_closed:
            return
        self._writer.close(timeout_s)
        with self._changed:
            self._recency.write_down()

    def stats(self) -> SnapshotStats:
        """The counters."""
        with self._changed:
            counts = Counter(self._counts)
            counts["damaged"] += self._index.num_damaged
            return SnapshotStats(
                **counts,
                num_snapshots=len(self._index),
                stored_bytes=self._index.state_bytes,
            )

    def _wants(self, name: str, num_tokens: int, *, pinned: bool) -> bool:
        """Whether a prefix should be written, as far as can be told without its state."""
        if self._writer.is_closed or self._writer.has(name):
            return False
        self._index.refresh()
        if name in self._index:
            self._recency.use(name)
            return False
        if not pinned and not self._book.see(seen_key(name)):
            self._writer.wake()
            return False
        if self._writer.is_paused:
            return False
        return self._fits(round(self._bytes_per_token * num_tokens))

    def _fits(self, num_bytes: int) -> bool:
        if num_bytes > self._max_bytes or not self._writer.can_take(num_bytes):
            self._counts["dropped"] += 1
            return False
        if not self._book.has_room(num_bytes):
            self._counts["refused_by_budget"] += 1
            return False
        return True

    def _give_up(self, name: str, error: Exception) -> None:
        with self._changed:
            self._counts["misses"] += 1
            gone = isinstance(error, FileNotFoundError)
            if isinstance(error, SnapshotDamagedError):
                self._counts["damaged"] += 1
                gone = self._folder.remove(name)
            self._index.forget(name, unusable=not gone)
        logger.warning("the snapshot %s cannot be used: %s", name, error)


def open_snapshot_store(
    config: EdgeConfig, fingerprint: str, *, label: str = ""
) -> SnapshotStore | None:
    """The store that the configuration asks for; None when it says that there is to be none."""
    if not config.cache_max_mb:
        return None
    return SnapshotStore(
        cache_folder(config),
        fingerprint,
        max_bytes=config.cache_max_mb * 10**6,
        max_daily_write_bytes=config.cache_daily_write_mb * 10**6,
        label=label,
    )
