"""Which prefixes of one model and its settings are stored, held in memory.

Built from the headers, which hold the tokens themselves: a match is an equality of bytes, so no
hash can lie. Walking the prefixes from the longest and comparing the start of the prompt with each
costs 0.1 µs for one that differs early and 1 µs for 4000 equal tokens, so hundreds of them need no
cleverer structure. Not thread-safe: the store guards it.
"""

from __future__ import annotations

import logging
from bisect import insort
from dataclasses import dataclass, field
from hashlib import blake2b

from edge_llm.engine.snapshot_file import (
    SnapshotDamagedError,
    SnapshotForeignError,
    SnapshotHeader,
    read_header,
)
from edge_llm.engine.snapshot_folder import SnapshotFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SnapshotMatch:
    """A stored prefix of the prompt that was asked about."""

    name: str
    """Of its file."""
    header: SnapshotHeader = field(repr=False)

    @property
    def num_tokens(self) -> int:
        """How many tokens of the prompt the state covers."""
        return self.header.num_tokens


class SnapshotIndex:
    """Owns the headers of the snapshots with one fingerprint."""

    def __init__(self, folder: SnapshotFolder, fingerprint: bytes) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._prefix = fingerprint[:8].hex() + "-"
        self._entries: dict[str, SnapshotMatch] = {}
        self._longest_first: list[SnapshotMatch] = []
        self._unusable: set[str] = set()
        self._scanned_ns = -1
        self.num_damaged = 0
        """Files that were removed because their headers were damaged."""

    def name(self, tokens: bytes) -> str:
        """The file name for a prefix: the same in every process."""
        return (
            self._prefix
            + blake2b(tokens, digest_size=16, key=self._fingerprint).hexdigest()
            + ".kv"
        )

    def refresh(self) -> None:
        """Take in what other processes did to the folder; one `stat` when they did nothing."""
        changed = self._folder.changed_at_ns()
        if changed >= 0 and changed == self._scanned_ns:
            return
        names = {f.name for f in self._folder.scan() if f.name.startswith(self._prefix)}
        for name in self._entries.keys() - names:
            self.forget(name)
        self._unusable &= names
        for name in names - self._entries.keys() - self._unusable:
            self._read(name)
        self._scanned_ns = changed

    def match(self, tokens: bytes) -> SnapshotMatch | None:
        """The longest entry whose tokens are the first of `tokens`."""
        for entry in self._longest_first:
            if tokens.startswith(entry.header.tokens):
                return entry
        return None

    def add(self, name: str, header: SnapshotHeader) -> None:
        """Know a file that has just been written or read."""
        self._unusable.discard(name)
        if name not in self._entries:
            entry = self._entries[name] = SnapshotMatch(name, header)
            insort(self._longest_first, entry, key=lambda e: -len(e.header.tokens))

    def forget(self, name: str, *, unusable: bool = False) -> None:
        """Know a file no more; one that is `unusable` is not looked at again."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._longest_first.remove(entry)
        if unusable:
            self._unusable.add(name)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def state_bytes(self) -> int:
        """Bytes of state in all entries."""
        return sum(entry.header.state_bytes for entry in self._longest_first)

    def _read(self, name: str) -> None:
        try:
            header = read_header(self._folder.path / name)
        except FileNotFoundError:
            return
        except SnapshotDamagedError as error:
            logger.warning("removed the damaged snapshot %s: %s", name, error)
            self.num_damaged += 1
            if not self._folder.remove(name):
                self._unusable.add(name)
        except (SnapshotForeignError, OSError) as error:
            logger.warning("left the snapshot %s alone: %s", name, error)
            self._unusable.add(name)
        else:
            if header.fingerprint == self._fingerprint and self.name(header.tokens) == name:
                self.add(name, header)
            else:
                self._unusable.add(name)
