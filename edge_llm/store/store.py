"""An open file of SQLite: one connection behind one lock, and transactions.

A statement here takes microseconds and a commit waits for the disk, so that threads gain nothing
from connections of their own; processes are kept apart by SQLite's locks. Everything blocks: an
event loop calls it through a thread.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_llm.errors import RuntimeClosedError, RuntimeForkedError, StoreError
from edge_llm.store.failures import mapped_errors, mapped_os_errors
from edge_llm.store.opening import connect
from edge_llm.store.schema import Schema
from edge_llm.store.transaction import Transaction

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for another process before `StoreBusyError`."""


class Store:
    """Owns the connection to one file. May be used from any thread of the process that opened it.

    A process killed at any moment leaves a sound file: a transaction is there in whole or not at
    all. So does a power cut; with `durable`, what was committed is then still there.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._lock = threading.RLock()
        self._is_inside = False
        self._pid = os.getpid()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Statements that read and write what no other process can change in between.

        Takes the file's one write lock at once, so that what was read is still true when it is
        written. Committed at the end of the block, or undone when it raises.

        Raises:
            StoreBusyError: another process holds the lock; nothing happened.
            StoreError: the commit failed; nothing happened, unless the disk itself lied.
            RuntimeClosedError: the store was closed, or opened before a fork.
        """
        with self._begun("BEGIN IMMEDIATE") as transaction:
            yield transaction

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Statements that read one state of the file, and neither wait for writers nor hold them.

        Raises:
            StoreError: the file cannot be read.
            RuntimeClosedError: the store was closed, or opened before a fork.
        """
        with self._begun("BEGIN DEFERRED") as transaction:
            yield transaction

    def close(self) -> None:
        """Let the file go; a second time does nothing."""
        with self._lock:
            connection, self._connection = self._connection, None
            # Closing in a forked child would let go of locks that the parent relies on.
            if connection is not None and os.getpid() == self._pid:
                with mapped_errors(self.path):
                    connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    @contextmanager
    def _begun(self, begin: str) -> Iterator[Transaction]:
        with self._lock:
            connection = self._checked()
            if self._is_inside:
                raise StoreError("a transaction is open in this thread", hint="end it first")
            self._is_inside = True
            try:
                with mapped_errors(self.path):
                    connection.execute(begin)
                    try:
                        yield Transaction(connection)
                        connection.execute("COMMIT")
                    except BaseException:
                        _roll_back(connection)
                        raise
            finally:
                self._is_inside = False

    def _checked(self) -> sqlite3.Connection:
        if os.getpid() != self._pid:
            raise RuntimeForkedError(
                f"{str(self.path)!r} was opened before fork()", hint="open it in the child"
            )
        if self._connection is None:
            raise RuntimeClosedError(f"{str(self.path)!r} was closed")
        return self._connection


def open_store(
    path: Path | str,
    schema: Schema,
    *,
    durable: bool = True,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> Store:
    """The file at `path`, made with its folder when it is not there, with today's tables.

    Readable by its owner alone. With `durable`, every commit waits until the disk has it
    (`synchronous=FULL`): money and requests must outlive a power cut. Without, it costs no wait and
    a power cut may take the last commits, never the file (`NORMAL`): right for caches. Either way
    the write-ahead log makes one small sequential write of a commit, which spares an SD card.

    Raises:
        StoreVersionError: a newer version wrote it, or another part or program.
        StoreCorruptedError: it is damaged, or is no database.
        StoreError: it cannot be made, opened or written.
    """
    path = Path(path).expanduser().absolute()
    with mapped_os_errors(path), mapped_errors(path):
        return Store(path, connect(path, schema, durable=durable, busy_timeout_s=busy_timeout_s))


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error as exc:
            # The first error matters; SQLite undoes the rest when the file is next opened.
            logger.warning("could not roll back: %s", exc)
