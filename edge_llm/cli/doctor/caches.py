"""The doctor on what is kept on disk: our own cache and the one shared with other tools."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_llm.cli.doctor.finding import Finding, Section
from edge_llm.config import EdgeConfig, cache_folder
from edge_llm.device.memory import describe_bytes
from edge_llm.hub.cache_layout import PARTIAL_SUFFIX, cache_root

BUDGET_S = 0.3
"""A folder with more files than can be looked at in this time is summed up in part."""

WORTH_SAYING_BYTES = 64 << 20

_UNFINISHED = (PARTIAL_SUFFIX, ".incomplete")
"""Ours, and that of other tools."""


@dataclass(frozen=True, slots=True)
class FolderSize:
    """What a folder takes on disk; links are not followed."""

    num_bytes: int = 0
    num_files: int = 0
    unfinished_bytes: int = 0
    """Of downloads that were not finished."""
    is_complete: bool = True
    """False where there was no time for all of it."""


def examine_caches(config: EdgeConfig, environ: Mapping[str, str] | None = None) -> Section:
    """The folders, what they hold, and what can go."""
    ours, hub = cache_folder(config), cache_root(environ)
    own_size, hub_size = measure_folder(ours), measure_folder(hub)
    facts: dict[str, Any] = {
        "prefixes": {"folder": str(ours), **_size(own_size)},
        "models": {"folder": str(hub), "repositories": _repositories(hub), **_size(hub_size)},
    }
    return Section("caches", facts, list(_findings(hub, hub_size, ours)))


def measure_folder(folder: Path, budget_s: float = BUDGET_S) -> FolderSize:
    """The sizes of all files below; nothing where there is no folder or no right to read it."""
    num_bytes = num_files = unfinished = 0
    until = time.perf_counter() + budget_s
    for entry in _walk(folder):
        if time.perf_counter() > until:
            return FolderSize(num_bytes, num_files, unfinished, is_complete=False)
        try:
            size = entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
        num_bytes, num_files = num_bytes + size, num_files + 1
        if entry.name.endswith(_UNFINISHED):
            unfinished += size
    return FolderSize(num_bytes, num_files, unfinished)


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield entry


def _repositories(hub: Path) -> int:
    try:
        return sum(entry.name.startswith("models--") for entry in os.scandir(hub))
    except OSError:
        return 0


def _size(size: FolderSize) -> dict[str, Any]:
    found: dict[str, Any] = {"size_bytes": size.num_bytes, "files": size.num_files}
    if not size.is_complete:
        found["note"] = "more than could be looked at"
    return found


def _findings(hub: Path, size: FolderSize, ours: Path) -> Iterator[Finding]:
    if size.unfinished_bytes > WORTH_SAYING_BYTES:
        yield Finding(
            "note",
            "caches",
            f"{describe_bytes(size.unfinished_bytes)} of downloads were not finished",
            "pulling the same model again goes on where it ended",
            "edge-llm models rm REF, or: "
            + f"find {hub} -name '*{_UNFINISHED[0]}' -o -name '*{_UNFINISHED[1]}'",
        )
    for folder, name in ((ours, "prefixes"), (hub, "models")):
        nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not os.access(nearest, os.W_OK):
            yield Finding(
                "warning",
                "caches",
                f"the folder for {name} cannot be written: {folder}",
                "nothing new is kept in it",
                "chown it to yourself, or set "
                + ("EDGE_LLM_CACHE_DIR" if folder == ours else "HF_HOME"),
            )
