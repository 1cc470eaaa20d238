"""Opening a file: made private, checked, set up, and brought up to date."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from edge_llm.errors import StoreVersionError
from edge_llm.store.failures import corrupted
from edge_llm.store.schema import Schema

CHECKED_BYTES = 8 << 20
"""Files up to this size are checked in whole when they are opened, which takes milliseconds."""

WAL_PAGES = 250
"""Pages in the write-ahead log before they are moved into the file: 1 MB."""


def connect(
    path: Path, schema: Schema, *, durable: bool, busy_timeout_s: float
) -> sqlite3.Connection:
    """A connection to a sound file with today's tables.

    Raises:
        StoreVersionError: the file is not of this part, or of a later version.
        StoreCorruptedError: the file does not pass SQLite's own check.
        sqlite3.Error: it cannot be used.
        OSError: it cannot be made.
    """
    _make_private(path)
    give_up = time.monotonic() + busy_timeout_s
    while True:
        connection = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            _set_up(connection, path, schema, durable=durable)
        except BaseException as exc:
            connection.close()
            if not _is_busy(exc) or time.monotonic() > give_up:
                raise
            # Who switches to the log, or mends what a killed process left, is refused at once
            # where another does the same; SQLite waits only where waiting cannot lock up.
            time.sleep(0.01)
        else:
            return connection


def _set_up(connection: sqlite3.Connection, path: Path, schema: Schema, *, durable: bool) -> None:
    _check_first(connection, path, schema)
    # Where a file system has no shared memory, SQLite keeps its older way.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={WAL_PAGES * 4096}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cell_size_check=ON")
    # What is deleted is overwritten where that costs no further write.
    connection.execute("PRAGMA secure_delete=FAST")
    _check_sound(connection, path)
    _migrate(connection, path, schema)


def _is_busy(exc: BaseException) -> bool:
    code = getattr(exc, "sqlite_errorcode", 0)
    return isinstance(exc, sqlite3.OperationalError) and code & 0xFF == sqlite3.SQLITE_BUSY


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives the log and the index beside it the rights of the file.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _check_first(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Look at a file that another process may be making: all of it at one moment."""
    connection.execute("BEGIN")
    try:
        _check_owner(connection, path, schema)
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _check_owner(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    owner, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    is_empty = not _pragma(connection, "schema_version")
    if owner != schema.application_id and not (is_empty and owner == 0 and version == 0):
        raise StoreVersionError(
            f"{str(path)!r} is not the {schema.name} file of edge-llm",
            hint="move it away, or set another folder with state_dir",
        )
    if version > schema.version:
        raise StoreVersionError(
            f"{str(path)!r} has version {version}; this edge-llm knows {schema.version}",
            hint="a newer edge-llm wrote it: install that again, or move the file away",
        )


def _check_sound(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > CHECKED_BYTES:
        return
    ((answer,), *_) = connection.execute("PRAGMA quick_check(1)").fetchall()
    if answer != "ok":
        raise corrupted(path, str(answer).splitlines()[-1])


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Take the steps that are missing, each in one transaction with its number."""
    while _pragma(connection, "user_version") < schema.version:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Again under the lock: another process may have been faster, or newer.
            _check_owner(connection, path, schema)
            version = _pragma(connection, "user_version")
            if version < schema.version:
                for statement in _statements(schema.migrations[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={schema.application_id}")
                connection.execute(f"PRAGMA user_version={version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _statements(script: str) -> Iterator[str]:
    """Single statements: `executescript` would commit between them."""
    pending = ""
    for part in re.split("(?<=;)", script):
        pending += part
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
