"""Texts as the rules read them: one kind of digit, space and dash, and nothing invisible. Pure."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))

_FULL_WIDTH = range(0xFF01, 0xFF5F)
"""Full-width forms of the printable ASCII characters, at a constant distance."""


class Folded(NamedTuple):
    """A text to search, and the way back."""

    text: str
    places: Sequence[int] | None
    """For each character, and the end, its place in the original; None where they are equal."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The place in the original of a place in the text; invisible characters belong to it."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


def fold(text: str) -> Folded:
    """The text with digits of every script, spaces and dashes as in ASCII."""
    if text.isascii():
        return Folded(text, None)
    folded = text.translate(_table())
    if not any(ord(c) in _INVISIBLE for c in set(text)):
        return Folded(folded, None)
    places = [at for at, c in enumerate(text) if ord(c) not in _INVISIBLE]
    return Folded(folded.translate(_INVISIBLE), [*places, len(text)])


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
