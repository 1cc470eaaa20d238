"""The folder that holds snapshots: names, sizes, the lock, atomic writes. Knows no policy.

Processes may share it. Who changes more than one file, or writes any, holds the lock, which the
kernel takes back from the dead; so a temporary file that its holder finds is nobody's. Readers need
no lock: a file appears whole, by rename, and may vanish at any time.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

LOCK_NAME = "lock"
LEDGER_NAME = "ledger.json"
LOCK_POLL_S = 0.05

_SNAPSHOT = re.compile(r"[0-9a-f]{16}-[0-9a-f]{32}\.kv")
_TEMPORARY = re.compile(rf"\.({_SNAPSHOT.pattern}|{re.escape(LEDGER_NAME)})\.\d+\.tmp")

WRITE_BYTES = 4 << 20
"""Handed to the system in one call."""


class FolderBusyError(Exception):
    """Another process held the lock for too long. Never leaves the store."""


class StoredFile(NamedTuple):
    """One snapshot file."""

    name: str
    num_bytes: int
    used_at: float
    """When it was last used, in seconds of the epoch, as far as its inode tells."""


class SnapshotFolder:
    """Owns the names in one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Make the folder, readable by this user alone, if there is none.

        Raises:
            OSError: it cannot be made.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def scan(self) -> list[StoredFile]:
        """The snapshot files in the folder, in no order; none when it cannot be read."""
        try:
            entries = list(os.scandir(self.path))
        except OSError:
            return []
        found = []
        for entry in entries:
            if _SNAPSHOT.fullmatch(entry.name):
                with suppress(OSError):  # it vanished
                    status = entry.stat(follow_symlinks=False)
                    found.append(StoredFile(entry.name, status.st_size, status.st_mtime))
        return found

    def changed_at_ns(self) -> int:
        """When a name was last added or taken away; -1 when nobody can tell.

        A change so recent that another could fall into the same tick of the clock counts as
        unknown too.
        """
        try:
            changed = os.stat(self.path).st_mtime_ns
        except OSError:
            return -1
        return changed if abs(time.time_ns() - changed) > 2 * 10**9 else -1

    @contextmanager
    def locked(self, timeout_s: float = 0.0) -> Iterator[None]:
        """Hold the lock of the folder, and remove what dead processes left half written.

        Raises:
            FolderBusyError: another process kept it for longer than `timeout_s`.
            OSError: there is no folder, or no lock to be had in it.
        """
        descriptor = os.open(
            self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            _take(descriptor, time.monotonic() + timeout_s)
            self._clean()
            yield
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> bool:
        """Take a file away; False when it is not there or cannot be."""
        try:
            os.unlink(self.path / name)
        except OSError:
            return False
        return True

    def write(self, name: str, parts: Iterable[bytes], used_at: float | None = None) -> int:
        """Write a file so that it is there whole or not at all, even when the power fails.

        The lock must be held. Returns the bytes written.

        Raises:
            OSError: the disk is full, read-only or broken; nothing is left of the file.
        """
        temporary = self.path / f".{name}.{os.getpid()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, 0o600)
        try:
            try:
                written = sum(_write_all(descriptor, part) for part in parts)
                if used_at is not None:
                    os.utime(descriptor, (used_at, used_at))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, self.path / name)
        except BaseException:
            self.remove(temporary.name)
            raise
        self._sync()
        return written

    def touch(self, name: str, used_at: float) -> None:
        """Note when a file was used; does nothing where that cannot be noted."""
        with suppress(OSError):
            os.utime(self.path / name, (used_at, used_at), follow_symlinks=False)

    def free_bytes(self) -> int:
        """Room left on the disk for this user."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def _clean(self) -> None:
        for name in os.listdir(self.path):
            if _TEMPORARY.fullmatch(name):
                self.remove(name)

    def _sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take(descriptor: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            if time.monotonic() >= until:
                raise FolderBusyError from exc
            time.sleep(LOCK_POLL_S)
        else:
            return


def _write_all(descriptor: int, part: bytes) -> int:
    view = memoryview(part)
    while view:
        view = view[os.write(descriptor, view[:WRITE_BYTES]) :]
    return len(part)
