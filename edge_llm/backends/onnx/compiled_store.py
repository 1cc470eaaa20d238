"""What lies in the folder of compiled graphs: listed and removed without any library of models.

A folder for each graph, named after what it was compiled from, with `manifest.json` beside the
files; one whose name begins with a dot is being written, or was when its process died.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_llm.config import EdgeConfig, cache_folder

COMPILED = "compiled"
"""Folder beside the prefixes."""
MODEL, MANIFEST = "model.onnx", "manifest.json"
FORMAT = 1

_MAX_MANIFEST_BYTES = 1 << 20
_ABANDONED_S = 86_400
"""Compiling takes minutes: what is older nobody writes any more."""


@dataclass(frozen=True, slots=True)
class CompiledGraph:
    """One folder."""

    path: Path
    model: str
    """What it was compiled from, for people; empty where it does not say."""
    provider: str
    num_bytes: int
    used_at: float
    """Seconds since the epoch."""
    problem: str | None = None
    """Why it is of no use; None where it seems whole."""


def compiled_folder(config: EdgeConfig) -> Path:
    """Where compiled graphs are kept; it need not exist."""
    return cache_folder(config) / COMPILED


def list_compiled(folder: Path) -> list[CompiledGraph]:
    """Every graph that is kept, the one used last first. Contents are not hashed."""
    found = [_describe(path) for path in _folders(folder) if not path.name.startswith(".")]
    return sorted(found, key=lambda graph: -graph.used_at)


def clear_compiled(folder: Path) -> tuple[int, int]:
    """Remove every graph, and what was left behind half written; their number and bytes."""
    count = freed = 0
    for path in list(_folders(folder)):
        graph = _describe(path)
        if path.name.startswith(".") and time.time() - graph.used_at < _ABANDONED_S:
            continue
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            count += 1
            freed += graph.num_bytes
    return count, freed


def _folders(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return


def _describe(path: Path) -> CompiledGraph:
    """What one folder holds; a folder that goes away meanwhile holds nothing."""
    try:
        stats = [file.stat() for file in path.iterdir() if file.is_file()]
        used_at = path.stat().st_mtime
    except OSError:
        return CompiledGraph(path, "", "", 0, 0.0, "it is gone")
    size = sum(stat.st_size for stat in stats)
    try:
        with (path / MANIFEST).open("rb") as stream:
            manifest = json.loads(stream.read(_MAX_MANIFEST_BYTES))
        about = {name: manifest.get(name) for name in ("model", "provider")}
        texts = {name: text if isinstance(text, str) else "" for name, text in about.items()}
        missing = [name for name in manifest["files"] if not (path / str(name)).is_file()]
        problem = f"{missing[0]!r} is missing" if missing else None
        if manifest["format"] != FORMAT:
            problem = "of another version"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return CompiledGraph(path, "", "", size, used_at, "its manifest is damaged")
    return CompiledGraph(path, texts["model"], texts["provider"], size, used_at, problem)
