"""When each snapshot was last used: exactly in memory, roughly on disk, to spare SD cards.

The disk's copy is the time of last change of the file, set at most once an hour and at the end.
Not thread-safe: the store guards it.
"""

from __future__ import annotations

from collections.abc import Callable

from edge_llm.engine.snapshot_folder import SnapshotFolder, StoredFile

TOUCH_INTERVAL_S = 3600.0
"""How old the disk's copy may get."""


class Recency:
    """Owns the times of use that this process knows of."""

    def __init__(self, folder: SnapshotFolder, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self._used_at: dict[str, float] = {}
        self._on_disk: dict[str, float] = {}
        self._newest = max((file.used_at for file in folder.scan()), default=0.0)

    def stamp(self) -> float:
        """The time, but later than every use before: clocks go back, recency must not."""
        self._newest = max(self._clock(), self._newest + 1e-3)
        return self._newest

    def use(self, name: str) -> None:
        """Note that a file was used now."""
        used_at = self._used_at[name] = self.stamp()
        if used_at - self._on_disk.get(name, 0.0) > TOUCH_INTERVAL_S:
            self._touch(name)

    def created(self, name: str, used_at: float) -> None:
        """Note that a file was written with this stamp."""
        self._used_at[name] = self._on_disk[name] = used_at

    def oldest_first(self, files: list[StoredFile]) -> list[StoredFile]:
        """The order in which files are to be evicted."""
        return sorted(files, key=lambda f: max(f.used_at, self._used_at.get(f.name, 0.0)))

    def write_down(self) -> None:
        """Bring the disk up to date."""
        for name, used_at in self._used_at.items():
            if self._on_disk.get(name) != used_at:
                self._touch(name)

    def _touch(self, name: str) -> None:
        self._on_disk[name] = self._used_at[name]
        self._folder.touch(name, self._used_at[name])
