"""SQLite's exceptions as ours, each with what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_llm.errors import (
    StoreBusyError,
    StoreCorruptedError,
    StoreError,
    StoreFullError,
)

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_DENIED = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})


@contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Raise a `StoreError` for what SQLite raises.

    A text of SQLite names tables and columns, never values, so it may be quoted.
    """
    try:
        yield
    except sqlite3.Error as exc:
        raise store_error(path, exc) from exc


@contextmanager
def mapped_os_errors(path: Path) -> Iterator[None]:
    """Raise a `StoreError` for what the file system raises."""
    try:
        yield
    except OSError as exc:
        raise StoreError(f"cannot use {str(path)!r}: {exc.strerror}", hint=_WHERE) from exc


def store_error(path: Path, exc: sqlite3.Error) -> StoreError:
    """The error of ours that says what happened to the file."""
    # Python 3.11 gives the code to what SQLite itself raised; misuse of the module has none.
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in _CORRUPT:
        return corrupted(path, str(exc))
    if code in _BUSY:
        return StoreBusyError(
            f"{str(path)!r} is held by another process", hint="try again in a moment"
        )
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(f"no room on the disk for {str(path)!r}", hint="make some")
    if code in _DENIED:
        return StoreError(f"cannot write {str(path)!r}: {exc}", hint=_WHERE)
    return StoreError(f"{str(path)!r}: {exc}")


def corrupted(path: Path, what: str) -> StoreCorruptedError:
    """The error for a damaged file."""
    return StoreCorruptedError(
        f"{str(path)!r} is damaged: {what}",
        hint="move it away, with the -wal and -shm beside it; the next start makes a new one, and"
        " what it remembered is lost",
    )


_WHERE = "check its folder's rights and mount, or set another with state_dir"
