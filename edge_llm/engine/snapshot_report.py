"""What is in a folder of snapshots, for people, and how to empty it. Reads headers, no states."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge_llm.engine.snapshot_file import SnapshotDamagedError, SnapshotForeignError, read_header
from edge_llm.engine.snapshot_folder import (
    LEDGER_NAME,
    FolderBusyError,
    SnapshotFolder,
    StoredFile,
)
from edge_llm.engine.snapshot_ledger import DAY_S, Ledger, read_ledger

LOCK_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """One file, and what its header says."""

    file: StoredFile
    model: str = ""
    num_tokens: int = 0
    problem: str | None = None
    """Why it cannot be used; None when its header is sound."""


@dataclass(frozen=True, slots=True)
class CacheReport:
    """Everything in one folder."""

    folder: Path
    snapshots: tuple[StoredSnapshot, ...]
    """The one used last first."""
    written_today_bytes: int
    num_seen: int
    """Prefixes that were offered once."""

    @property
    def num_bytes(self) -> int:
        """Size of all files."""
        return sum(snapshot.file.num_bytes for snapshot in self.snapshots)

    @property
    def num_tokens(self) -> int:
        """Tokens in all prefixes."""
        return sum(snapshot.num_tokens for snapshot in self.snapshots)

    @property
    def num_unusable(self) -> int:
        """Files that are damaged, or not for this version."""
        return sum(snapshot.problem is not None for snapshot in self.snapshots)


class Cleared(NamedTuple):
    """What `clear` took away."""

    num_files: int
    num_bytes: int


def inspect(folder: SnapshotFolder) -> CacheReport:
    """What the folder holds; changes nothing."""
    ledger = read_ledger(folder.path / LEDGER_NAME)
    ledger.roll(time.time())
    files = sorted(folder.scan(), key=lambda file: -file.used_at)
    snapshots = tuple(_describe(folder, file) for file in files)
    return CacheReport(folder.path, snapshots, ledger.written_bytes, len(ledger.seen))


def clear(folder: SnapshotFolder) -> Cleared:
    """Remove all snapshots and forget what was seen; what was written today stays counted.

    Runtimes that are using the folder only have to compute again.
    """
    removed = [file for file in folder.scan() if folder.remove(file.name)]
    with suppress(OSError, FolderBusyError), folder.locked(LOCK_TIMEOUT_S):
        before = read_ledger(folder.path / LEDGER_NAME)
        today = int(time.time() // DAY_S)
        # An account of a day to come is one of a wrong clock, and would never close.
        written = before.written_bytes if before.day == today else 0
        folder.write(LEDGER_NAME, [Ledger(today, written).encode()])
    return Cleared(len(removed), sum(file.num_bytes for file in removed))


def _describe(folder: SnapshotFolder, file: StoredFile) -> StoredSnapshot:
    try:
        header = read_header(folder.path / file.name)
    except (SnapshotDamagedError, SnapshotForeignError) as error:
        return StoredSnapshot(file, problem=str(error))
    except OSError as error:
        return StoredSnapshot(file, problem=error.strerror or "it cannot be read")
    return StoredSnapshot(file, header.label, header.num_tokens)
