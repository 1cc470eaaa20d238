"""What is wrong with an answer that was to have a form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Violation:
    """The first, or plainest, thing that is wrong."""

    path: str
    """Where, as `$.ingredients[2].grams`."""
    keyword: str
    """What is broken there: a keyword of JSON Schema, `json`, `regex`, `choice`, `type`, `tool`."""
    message: str

    @property
    def shown(self) -> str:
        """One clause for people."""
        return f"{self.path}: {shorten(self.message)}"


def path_of(parts: Iterable[str | int], root: str = "$") -> str:
    """`$.ingredients[2].grams`, with names that are none of these quoted: `$["odd name"]`."""
    return root + "".join(_step(part) for part in parts)


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if part.isidentifier() else f"[{part!r}]"


def shorten(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """`text`, or its beginning: messages quote answers, which may be long."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
