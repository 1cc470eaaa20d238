"""What one country's number looks like and how it is checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NationalNumber:
    """One kind of number."""

    name: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool]
    """Of its letters and digits alone, in upper case."""
    words: re.Pattern[str] | None
    """One of these before it says what it is."""
    distinct: re.Pattern[str] | None
    """Written like this it needs no word; None always needs one."""

    def is_valid(self, text: str) -> bool:
        """Whether the check digits, or what else is known of it, are right."""
        return self.check("".join(char for char in text if char.isalnum()).upper())

    def is_distinct(self, text: str) -> bool:
        """Whether it can hardly be anything else."""
        return self.distinct is not None and self.distinct.fullmatch(text) is not None


def national(
    name: str,
    pattern: str,
    check: Callable[[str], bool],
    *,
    words: str = "",
    distinct: str | None = ".*",
) -> NationalNumber:
    """A kind of number, from the texts of its expressions; `words` are also found inside words."""
    flags = re.IGNORECASE
    return NationalNumber(
        name,
        re.compile(rf"(?<![A-Za-z0-9_.+-])(?:{pattern})(?![A-Za-z0-9_]|[.-]\d)", flags),
        check,
        re.compile(words, flags) if words else None,
        None if distinct is None else re.compile(distinct, flags),
    )


def has_any_check(_: str) -> bool:
    """For numbers without check digits."""
    return True
