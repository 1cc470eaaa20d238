"""The numbers of threads that were fastest, kept in a small file across restarts.

A convenience: a file that is damaged, foreign or cannot be written costs only a new measurement.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

FILE_NAME = "threads.json"
FORMAT = 1
MAX_ENTRIES = 64
MAX_FILE_BYTES = 1 << 16
MAX_THREADS = 512


class PlannedThreads(NamedTuple):
    """Threads for writing tokens and for reading prompts."""

    decode: int
    prefill: int


class ThreadMemory:
    """Owns the file `threads.json` in one folder; processes may share it, the last writer wins."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def recall(self, key: str) -> PlannedThreads | None:
        """What was remembered under `key`; None when that is nothing, or nothing readable."""
        entry = self._entries().get(key)
        return None if entry is None else PlannedThreads(entry["decode"], entry["prefill"])

    def remember(self, key: str, threads: PlannedThreads) -> None:
        """Keep `threads` under `key`, beside the newest of what is there already."""
        entries = self._entries()
        entries.pop(key, None)
        newest = list(entries.items())[-(MAX_ENTRIES - 1) :]
        entry = {**threads._asdict(), "day": time.strftime("%Y-%m-%d", time.gmtime())}
        record = {"format": FORMAT, "threads": {**dict(newest), key: entry}}
        try:
            self._write(json.dumps(record, indent=1, ensure_ascii=False))
        except OSError as error:
            logger.info("the number of threads is not remembered: %s", error)

    def _entries(self) -> dict[str, dict[str, Any]]:
        """The entries that make sense, in the order they were written."""
        try:
            with self._path.open(encoding="utf-8") as file:
                record = json.loads(file.read(MAX_FILE_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            return {}
        threads = record.get("threads")
        found = threads.items() if isinstance(threads, dict) else ()
        return {key: entry for key, entry in found if _is_entry(entry)}

    def _write(self, text: str) -> None:
        """The file appears whole, by rename, or not at all."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{FILE_NAME}.{os.getpid()}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise


def _is_entry(entry: object) -> bool:
    return isinstance(entry, Mapping) and all(
        type(entry.get(name)) is int and 1 <= entry[name] <= MAX_THREADS
        for name in PlannedThreads._fields
    )
