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
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from errno import ENOSPC
from hashlib import blake2b
from pathlib import Path

from edge_llm.config import EdgeConfig, cache_folder
from edge_llm.engine.snapshot_file import (
    SnapshotDamagedError,
    SnapshotForeignError,
    SnapshotHeader,
    encoded_parts,
    file_size,
    pack_tokens,
    read_state,
)
from edge_llm.engine.snapshot_folder import (
    LEDGER_NAME,
    FolderBusyError,
    SnapshotFolder,
)
from edge_llm.engine.snapshot_index import SnapshotIndex, SnapshotMatch
from edge_llm.engine.snapshot_ledger import LedgerBook
from edge_llm.engine.snapshot_recency import Recency

__all__ = ["SnapshotMatch", "SnapshotStats", "SnapshotStore", "open_snapshot_store"]

logger = logging.getLogger(__name__)

QUEUE_SIZE = 2
"""States that wait to be written; each may be large, and one more offer will come."""
RETRY_AFTER_S = 600.0
"""How long nothing is written after the disk refused."""
BOOK_INTERVAL_S = 600.0
"""Prefixes seen once are written down when the first one is, then this often, and at `close`."""
LOCK_TIMEOUT_S = 10.0
MIN_FREE_BYTES = 64 << 20
"""Room on the disk that is left to others."""


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


@dataclass(frozen=True, slots=True)
class _Pending:
    name: str
    header: SnapshotHeader
    state: bytes


_LEDGER = _Pending("", SnapshotHeader(b"", b"", 0), b"")
"""In place of a snapshot: write down what was seen once."""


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
        self._off_until = 0.0
        self._reported: set[int | None] = set()
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()
        """Guards all that follows."""
        self._prepare_folder()
        self._index = SnapshotIndex(self._folder, self._fingerprint)
        self._recency = Recency(self._folder, clock)
        self._book = LedgerBook(self._folder, max_daily_write_bytes, clock)
        self._book_due = 0.0
        self._bytes_per_token = 0.0
        self._pending: deque[_Pending] = deque()
        self._writing: _Pending | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
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
            self._pending.append(_Pending(name, header, data))
            self._wake_thread()
        return True

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until all that was accepted is written or given up; False when it takes longer."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._pending and self._writing is None, timeout_s
            )

    def close(self, timeout_s: float = 60.0) -> None:
        """Write what was accepted and what must be remembered, and end the thread.

        A second call does nothing. A process that ends without it loses no snapshot that was
        written, only what was seen once or used in the last minutes.
        """
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
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

    def _prepare_folder(self) -> None:
        """Make the folder, or clean it when nobody is at work in it."""
        try:
            self._folder.create()
            with self._folder.locked():
                pass
        except FolderBusyError:
            logger.debug("another process is writing to %s", self._folder.path)
        except OSError as error:
            self._report(error)

    def _wants(self, name: str, num_tokens: int, *, pinned: bool) -> bool:
        """Whether a prefix should be written, as far as can be told without its state."""
        waiting = [*self._pending, self._writing]
        if self._closed or any(p is not None and p.name == name for p in waiting):
            return False
        self._index.refresh()
        if name in self._index:
            self._recency.use(name)
            return False
        if not pinned and not self._book.see(_seen_key(name)):
            self._wake_thread()
            return False
        if time.monotonic() < self._off_until:
            return False
        return self._fits(round(self._bytes_per_token * num_tokens))

    def _fits(self, num_bytes: int) -> bool:
        if num_bytes > self._max_bytes or len(self._pending) >= QUEUE_SIZE:
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

    def _wake_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._write_all, name="edge-llm-snapshots", daemon=True
            )
            self._thread.start()
        self._changed.notify_all()

    def _write_all(self) -> None:
        while (item := self._next()) is not None:
            try:
                self._folder.create()
                with self._folder.locked(LOCK_TIMEOUT_S):
                    self._write(item)
            except FolderBusyError:
                self._count("dropped")
                logger.warning("another process kept the snapshots locked; one was not written")
            except OSError as error:
                self._report(error)
            except Exception:
                # Thread border: the next one may go better.
                self._count("failed")
                logger.exception("a prefix was not saved")
            finally:
                with self._changed:
                    self._writing = None
                    self._changed.notify_all()

    def _next(self) -> _Pending | None:
        """Wait for what is to be written next; None when the store is closed and all is."""
        with self._changed:
            while not self._pending:
                due_in_s = self._book_due_in()
                if due_in_s is not None and due_in_s <= 0:
                    # After the last time there is no other, even if this one fails.
                    self._book_due = float("inf") if self._closed else _after(BOOK_INTERVAL_S)
                    self._pending.append(_LEDGER)
                elif self._closed:
                    return None
                else:
                    self._changed.wait(due_in_s)
            self._writing = self._pending.popleft()
            return self._writing

    def _book_due_in(self) -> float | None:
        """Seconds until the ledger is to be written; None when there is nothing new in it."""
        if not self._book.has_unwritten:
            return None
        if self._closed:
            return 0.0 if self._book_due < float("inf") else None
        return max(self._book_due, self._off_until) - time.monotonic()

    def _write(self, item: _Pending) -> None:
        """Write one snapshot, or the ledger alone. The lock is held."""
        if item is _LEDGER:
            self._charge(0)
            return
        with self._changed:
            self._index.refresh()
            if item.name in self._index:  # another process was faster
                return
        size = file_size(item.header)
        if self._folder.free_bytes() - size < MIN_FREE_BYTES:
            raise OSError(ENOSPC, f"less than {MIN_FREE_BYTES >> 20} MiB would be left free")
        if not self._charge(size, _seen_key(item.name)):
            self._count("refused_by_budget")
            return
        if not self._make_room(size):
            self._count("dropped")
            return
        with self._changed:
            used_at = self._recency.stamp()
        self._folder.write(item.name, encoded_parts(item.header, item.state), used_at)
        with self._changed:
            self._recency.created(item.name, used_at)
            self._index.add(item.name, item.header)
            self._counts["saved"] += 1
            self._counts["written_bytes"] += size

    def _charge(self, size: int, saved_key: str = "") -> bool:
        """Put `size` on the day's account, on disk; False when the budget has no room for it."""
        with self._changed:
            ledger = self._book.prepare(size, saved_key)
        if ledger is None:
            return False
        self._folder.write(LEDGER_NAME, [ledger])
        with self._changed:
            self._book.confirm()
        return True

    def _make_room(self, size: int) -> bool:
        """Evict, from the one used longest ago, until `size` bytes more are within the bound."""
        files = self._folder.scan()
        total = sum(file.num_bytes for file in files) + size
        with self._changed:
            candidates = self._recency.oldest_first(files)
        for file in candidates:
            if total <= self._max_bytes:
                break
            if self._folder.remove(file.name):
                total -= file.num_bytes
                self._count("evicted")
                with self._changed:
                    self._index.forget(file.name)
        return total <= self._max_bytes

    def _report(self, error: OSError) -> None:
        """Stop writing for a while; say so once for each kind of trouble."""
        with self._changed:
            self._off_until = _after(RETRY_AFTER_S)
            self._counts["failed"] += 1
            known = error.errno in self._reported
            self._reported.add(error.errno)
        logger.log(
            logging.DEBUG if known else logging.WARNING,
            "prefixes are not saved for %.0f s: %s",
            RETRY_AFTER_S,
            error,
        )

    def _count(self, name: str) -> None:
        with self._changed:
            self._counts[name] += 1


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


def _seen_key(name: str) -> str:
    """What is remembered of a prefix that was offered once."""
    return name.partition("-")[2][:16]


def _after(seconds: float) -> float:
    return time.monotonic() + seconds
