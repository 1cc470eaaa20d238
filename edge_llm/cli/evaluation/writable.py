"""Whether a file can be written later, known before anything is spent."""

from __future__ import annotations

import os
from pathlib import Path

from edge_llm.errors import ConfigError


def writable(place: str | Path, hint: str) -> Path:
    """The path of a file that is made or replaced as a whole; nothing is written yet.

    Raises:
        ConfigError: it cannot be; a folder, a device or a pipe is never replaced.
    """
    path = Path(place).expanduser()
    if path.exists() and not path.is_file():
        raise ConfigError(f"{str(path)!r} is no ordinary file", hint=hint)
    _require_folder(path.parent, path, hint)
    return path


def writable_folder(place: str | Path, hint: str) -> Path:
    """The path of a folder that files can be written into, or that can be made.

    Raises:
        ConfigError: it cannot.
    """
    path = Path(place).expanduser()
    _require_folder(path, path, hint)
    return path


def _require_folder(folder: Path, path: Path, hint: str) -> None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ConfigError(f"{str(path)!r} cannot be written", hint=hint)
