"""What a file holds: its name, and the steps that lead from an empty file to today's tables."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one part. Steps are only ever appended: files of users are in between."""

    name: str
    """Of the part, such as `budget`; a file of another part is refused."""
    migrations: tuple[str, ...]
    """SQL scripts without transactions of their own; the first makes the tables."""

    @property
    def version(self) -> int:
        """What `PRAGMA user_version` says of a file that is up to date."""
        return len(self.migrations)

    @property
    def application_id(self) -> int:
        """What `PRAGMA application_id` says of a file of this part: 31 bits, never 0."""
        return (zlib.crc32(f"edge-llm {self.name}".encode()) & 0x7FFFFFFF) or 1
