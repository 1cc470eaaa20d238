"""Small files of the kernel, read without raising: a fact that is not there is None."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """The text of a file without the white space and NUL around it; None where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().strip("\0")
    except (OSError, ValueError):
        return None


def read_integer(path: Path) -> int | None:
    """The whole number in a file; None where there is none."""
    try:
        return int(read_text(path) or "")
    except ValueError:
        return None
