"""Check digits, and runs of digits with separators. Pure."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

_ALNUM = frozenset(string.ascii_letters + string.digits)

_RUN = re.compile(r"\d(?:[ .-]{0,2}\d)*")


class Run(NamedTuple):
    """Digits that may be separated."""

    digits: str
    places: Sequence[int]
    """Of each digit in the text."""
    starts: Sequence[int]
    """Indexes of digits that begin a group."""
    ends: frozenset[int]
    """Indexes after digits that end a group."""


def runs(text: str, at_least: int) -> Iterator[Run]:
    """The runs of so many digits or more that touch no letter or digit."""
    for match in _RUN.finditer(text):
        begin, end = match.span()
        if (
            end - begin < at_least
            or text[begin - 1 : begin] in _ALNUM
            or text[end : end + 1] in _ALNUM
        ):
            continue
        places = [at for at in range(begin, end) if text[at].isdigit()]
        if len(places) < at_least:
            continue
        starts = [i for i, at in enumerate(places) if i == 0 or places[i - 1] != at - 1]
        ends = frozenset([*starts[1:], len(places)])
        yield Run("".join(text[at] for at in places), places, starts, ends)


def windows(
    run: Run, lengths: Sequence[int], accept: Callable[[str], bool]
) -> Iterator[tuple[int, int]]:
    """Places in the text of whole groups that together have an accepted number; none overlap."""
    after = 0
    for start in run.starts:
        if start < after:
            continue
        for length in lengths:
            if start + length in run.ends and accept(run.digits[start : start + length]):
                yield run.places[start], run.places[start + length - 1] + 1
                after = start + length
                break


def luhn(digits: str) -> bool:
    """Whether the last digit is the right one. Source: ISO/IEC 7812-1 annex B."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + at % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of each digit times its weight, for as many as there are weights."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def mod_97(text: str) -> int:
    """The remainder by 97 of a text in which letters count as 10 to 35."""
    return int("".join(str(int(char, 36)) for char in text)) % 97


def iso_7064_11_10(digits: str) -> bool:
    """Whether the last digit is the right one. Source: ISO/IEC 7064, MOD 11,10."""
    product = 10
    for digit in digits[:-1]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def is_date(year: int, month: int, day: int) -> bool:
    """Whether there is such a day; of years only the last two digits are looked at."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return False
    if month in (4, 6, 9, 11):
        return day <= 30
    return month != 2 or day <= (29 if year % 4 == 0 else 28)
