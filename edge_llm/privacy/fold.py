"""Texts as the rules read them: one kind of digit, space and dash, and nothing invisible. Pure."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

_HIDDEN = re.compile(r"\\u([0-9a-fA-F]{4})|[\u00ad\u200b-\u200f\u2060\ufeff]")
"""Escaped characters, and characters that nobody sees."""

_FULL_WIDTH = range(0xFF01, 0xFF5F)
"""Full-width forms of the printable ASCII characters, at a constant distance."""


class Folded(NamedTuple):
    """A text to search, and the way back."""

    text: str
    places: Sequence[int] | None
    """For each character, and the end, its place in the original; None where they are equal."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The place in the original of a place in the text, with what is hidden in it."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end]


def fold(text: str) -> Folded:
    """The text with digits of every script, spaces and dashes as in ASCII, and escapes undone.

    `\\u0040`, as JSON may write an `@`, counts as what it stands for also where it stands in text.
    """
    if text.isascii() and "\\u" not in text:
        return Folded(text, None)
    folded = text.translate(_table())
    if not _HIDDEN.search(folded):
        return Folded(folded, None)
    parts: list[str] = []
    places: list[int] = []
    after = 0
    for match in _HIDDEN.finditer(folded):
        parts.append(folded[after : match.start()])
        places += range(after, match.start())
        after = match.end()
        if match[1] is not None:
            parts.append(chr(int(match[1], 16)))
            places.append(match.start())
    return Folded("".join([*parts, folded[after:]]), [*places, *range(after, len(text) + 1)])


@cache
def _table() -> dict[int, str]:
    table: dict[int, str] = {}
    for code in range(0x80, sys.maxunicode + 1):
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Nd":
            table[code] = str(unicodedata.decimal(char))
        elif category == "Zs":
            table[code] = " "
        elif category == "Pd" or code == 0x2212:
            table[code] = "-"
        elif code in _FULL_WIDTH:
            table[code] = chr(code - 0xFEE0)
    return table
