"""The thread that writes snapshots: one at a time, within the day's budget and the folder's bound.

Told what to write by the store; decides nothing about which prefixes are worth it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from errno import ENOSPC

from edge_llm.engine.snapshot_file import SnapshotHeader, encoded_parts, file_size
from edge_llm.engine.snapshot_folder import LEDGER_NAME, FolderBusyError, SnapshotFolder
from edge_llm.engine.snapshot_index import SnapshotIndex
from edge_llm.engine.snapshot_ledger import LedgerBook
from edge_llm.engine.snapshot_recency import Recency

logger = logging.getLogger(__name__)

QUEUE_SIZE = 4
"""States that wait to be written at most; what finds no place will be offered again."""
MAX_QUEUED_BYTES = 64 << 20
"""Of states in memory for their writing, where there is more than one."""
RETRY_AFTER_S = 600.0
"""How long nothing is written after the disk refused."""
BOOK_INTERVAL_S = 600.0
"""Prefixes seen once are written down when the first one is, then this often, and at `close`."""
LOCK_TIMEOUT_S = 10.0
MIN_FREE_BYTES = 64 << 20
"""Room on the disk that is left to others."""


@dataclass(frozen=True, slots=True)
class PendingSnapshot:
    """A snapshot that waits to be written."""

    name: str
    header: SnapshotHeader
    state: bytes


_LEDGER = PendingSnapshot("", SnapshotHeader(b"", b"", 0), b"")
"""In place of a snapshot: write down what was seen once."""


@dataclass(slots=True)
class SharedState:
    """What the engine's thread and the writing one both know; `changed` guards all of it."""

    index: SnapshotIndex
    recency: Recency
    book: LedgerBook
    counts: Counter[str] = field(default_factory=Counter)
    changed: threading.Condition = field(default_factory=threading.Condition)


class SnapshotWriter:
    """Owns the thread, what waits for it, and the times when the disk is left in peace."""

    def __init__(self, folder: SnapshotFolder, state: SharedState, max_bytes: int) -> None:
        self._folder = folder
        self._index, self._recency, self._book = state.index, state.recency, state.book
        self._counts, self._changed = state.counts, state.changed
        self._max_bytes = max_bytes
        self._off_until = 0.0
        self._reported: set[int | None] = set()
        self._book_due = 0.0
        self._pending: deque[PendingSnapshot] = deque()
        self._writing: PendingSnapshot | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    def can_take(self, num_bytes: int) -> bool:
        """Whether there is a place for one snapshot more."""
        if self._writing is None and not self._pending:
            return True
        held = (*self._pending, *([self._writing] if self._writing else []))
        queued_bytes = sum(len(snapshot.state) for snapshot in held)
        return len(self._pending) < QUEUE_SIZE and queued_bytes + num_bytes <= MAX_QUEUED_BYTES

    @property
    def is_paused(self) -> bool:
        """Whether the disk refused lately."""
        return time.monotonic() < self._off_until

    def has(self, name: str) -> bool:
        """Whether this snapshot waits, or is being written."""
        return any(p is not None and p.name == name for p in (*self._pending, self._writing))

    def put(self, snapshot: PendingSnapshot) -> None:
        """Queue a snapshot. The lock must be held."""
        self._pending.append(snapshot)
        self.wake()

    def prepare(self) -> None:
        """Make the folder, or clean it when nobody is at work in it."""
        try:
            self._folder.create()
            with self._folder.locked():
                pass
        except FolderBusyError:
            logger.debug("another process is writing to %s", self._folder.path)
        except OSError as error:
            self._report(error)

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until all that was accepted is written or given up; False when it takes longer."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._pending and self._writing is None, timeout_s
            )

    def close(self, timeout_s: float) -> None:
        """Write what waits and what must be remembered, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def wake(self) -> None:
        """Let the thread look for work; starts it when there is none. The lock must be held."""
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

    def _next(self) -> PendingSnapshot | None:
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

    def _write(self, item: PendingSnapshot) -> None:
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
        if not self._charge(size, seen_key(item.name)):
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


def seen_key(name: str) -> str:
    """What is remembered of a prefix that was offered once."""
    return name.partition("-")[2][:16]


def _after(seconds: float) -> float:
    return time.monotonic() + seconds
