"""What the snapshot store must remember across restarts: bytes written today, prefixes seen once.

One small JSON file for all processes and models that share the folder; an unreadable one counts as
empty. Knows no snapshots. Not thread-safe: the store guards it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_llm.engine.snapshot_folder import LEDGER_NAME, SnapshotFolder

MAX_SEEN = 512
"""Prefixes remembered; the one seen longest ago is forgotten first."""

MAX_LEDGER_BYTES = 1 << 16
DAY_S = 86_400


@dataclass(slots=True)
class Ledger:
    """The day's account, and the prefixes that were offered once."""

    day: int = 0
    """Days since the epoch, UTC."""
    written_bytes: int = 0
    """Written on that day."""
    seen: dict[str, None] = field(default_factory=dict)
    """Keys in the order in which they were seen."""

    def roll(self, now: float) -> None:
        """Begin a new day when there is one.

        A clock that went back begins none: a board without a battery wakes up in the past, and
        each boot would give it a budget of its own.
        """
        today = int(now // DAY_S)
        if today > self.day:
            self.day, self.written_bytes = today, 0

    def note_seen(self, keys: Iterable[str]) -> None:
        """Remember keys, the last one longest."""
        for key in keys:
            self.seen.pop(key, None)
            self.seen[key] = None
        for key in list(self.seen)[: max(0, len(self.seen) - MAX_SEEN)]:
            del self.seen[key]

    def encode(self) -> bytes:
        """The bytes of the file."""
        record = {"day": self.day, "written_bytes": self.written_bytes, "seen": list(self.seen)}
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def read_ledger(path: Path) -> Ledger:
    """The ledger in a file; an empty one when there is none, or none that can be read."""
    try:
        with path.open("rb") as file:
            record = json.loads(file.read(MAX_LEDGER_BYTES))
    except (OSError, ValueError, RecursionError):
        return Ledger()
    return _parse(record)


def _parse(record: Any) -> Ledger:
    if not isinstance(record, dict):
        return Ledger()
    day, written, seen = (record.get(key) for key in ("day", "written_bytes", "seen"))
    if type(day) is not int or type(written) is not int or min(day, written) < 0:
        return Ledger()
    ledger = Ledger(day, written)
    if isinstance(seen, list):
        ledger.note_seen(key for key in seen if isinstance(key, str))
    return ledger


class LedgerBook:
    """Owns the account of a folder as this process knows it, and what it has yet to write down."""

    def __init__(
        self, folder: SnapshotFolder, max_daily_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._max_daily_bytes = max_daily_bytes
        self._clock = clock
        self._ledger = read_ledger(folder.path / LEDGER_NAME)
        self._unwritten: dict[str, None] = {}
        self._prepared: list[str] = []

    @property
    def has_unwritten(self) -> bool:
        """Whether there is anything to remember that is not on disk yet."""
        return bool(self._unwritten)

    def has_room(self, num_bytes: int) -> bool:
        """Whether so much may still be written today, as far as this process knows."""
        self._ledger.roll(self._clock())
        return self._ledger.written_bytes + max(num_bytes, 1) <= self._max_daily_bytes

    def see(self, key: str) -> bool:
        """Note that a key was offered; whether it had been before."""
        if key in self._ledger.seen or key in self._unwritten:
            return True
        self._unwritten[key] = None
        if len(self._unwritten) > MAX_SEEN:
            del self._unwritten[next(iter(self._unwritten))]
        return False

    def prepare(self, num_bytes: int, saved_key: str = "") -> bytes | None:
        """The ledger to write before `num_bytes` are; None when the budget has no room for both.

        Before, so that a process that dies again and again in the middle still runs out. The lock
        of the folder must be held.
        """
        ledger = read_ledger(self._folder.path / LEDGER_NAME)
        ledger.roll(self._clock())
        ledger.note_seen(self._unwritten)
        self._ledger = ledger
        cost = num_bytes + len(ledger.encode())
        if ledger.written_bytes + cost > self._max_daily_bytes:
            return None
        ledger.seen.pop(saved_key, None)
        ledger.written_bytes += cost
        self._prepared = list(self._unwritten)
        return ledger.encode()

    def confirm(self) -> None:
        """What was prepared is on disk."""
        for key in self._prepared:
            self._unwritten.pop(key, None)
