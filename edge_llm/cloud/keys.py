"""Keys: read where they are used, never held, never shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edge_llm.cloud.types import Endpoint, KeySource
from edge_llm.errors import CloudAuthError

LONGEST_KEY = 8192


class Key:
    """A key that shows itself to nobody who does not ask for its text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "Key(...)"


def read_key(endpoint: Endpoint, environ: Mapping[str, str] | None = None) -> Key | None:
    """The endpoint's key as it is now; None where it needs none. A file is read, so it blocks.

    Raises:
        CloudAuthError: it cannot be read, or is no key.
    """
    source = endpoint.key
    if source is None:
        return None
    key = _read(endpoint, source, os.environ if environ is None else environ).strip()
    if not key or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise CloudAuthError(
            f"what {_place(source)} holds is no key for {endpoint.name!r}",
            hint="it must be one line of printable ASCII",
            endpoint=endpoint.name,
        )
    return Key(key)


def _read(endpoint: Endpoint, source: KeySource, environ: Mapping[str, str]) -> str:
    try:
        if source.file is not None:
            with Path(source.file).expanduser().open(encoding="utf-8") as lines:
                return lines.readline(LONGEST_KEY + 2)
        return environ[source.env or ""]
    except (OSError, UnicodeDecodeError, KeyError):
        reason = f"{_place(source)} cannot be read"
    raise CloudAuthError(f"no key for {endpoint.name!r}: {reason}", endpoint=endpoint.name)


def _place(source: KeySource) -> str:
    return f"file {source.file!r}" if source.file is not None else f"${source.env}"
