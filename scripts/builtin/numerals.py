"""Numbers and durations as people write and say them."""

from __future__ import annotations

import random
from typing import NamedTuple

from scripts.builtin.templates import split_words

_ONES = split_words(
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|"
    "fifteen|sixteen|seventeen|eighteen|nineteen"
)
_TENS = split_words("||twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety")

_FIXED_DURATIONS: tuple[tuple[str, dict[str, int]], ...] = (
    ("half an hour", {"minutes": 30}),
    ("half hour", {"minutes": 30}),
    ("an hour and a half", {"hours": 1, "minutes": 30}),
    ("one and a half hours", {"hours": 1, "minutes": 30}),
    ("a quarter of an hour", {"minutes": 15}),
    ("an hour", {"hours": 1}),
    ("a minute", {"minutes": 1}),
    ("half a minute", {"seconds": 30}),
    ("a minute and a half", {"minutes": 1, "seconds": 30}),
    ("two and a half minutes", {"minutes": 2, "seconds": 30}),
)


class Duration(NamedTuple):
    """How a length of time was said, and its `hours`, `minutes` and `seconds`."""

    text: str
    parts: dict[str, int]


def spell(number: int) -> str:
    """`number` from 0 to 999 in English words, `twenty one` without a hyphen."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] if ones == 0 else f"{_TENS[tens]} {_ONES[ones]}"
    hundreds, rest = divmod(number, 100)
    head = f"{_ONES[hundreds]} hundred"
    return head if rest == 0 else f"{head} {spell(rest)}"


def say_number(rng: random.Random, number: int) -> str:
    """`number` in digits, or in words (with or without a hyphen) about three times in ten.

    From a thousand on always in digits.
    """
    if rng.random() < 0.7 or number > 999:
        return str(number)
    words = spell(number)
    if 20 < number < 100 and rng.random() < 0.3:
        return words.replace(" ", "-")
    return words


def pick_percent(rng: random.Random) -> int:
    """A percentage: every value can occur, round ones more often."""
    return rng.randint(0, 100) if rng.random() < 0.5 else 5 * rng.randint(0, 20)


def pick_count(rng: random.Random) -> int:
    """A number of things: mostly a few, up to a hundred."""
    return rng.randint(1, 6) if rng.random() < 0.6 else rng.randint(1, 100)


def say_percent(rng: random.Random, number: int) -> str:
    """`50%`, `50 percent` or `fifty percent`; a bare number is left to the pattern."""
    if rng.random() < 0.4:
        return f"{number}%"
    unit = "percent" if rng.random() < 0.85 else "per cent"
    return f"{say_number(rng, number)} {unit}"


def say_duration(rng: random.Random) -> Duration:
    """A length of time such as `5 minutes` or `an hour and a half`."""
    roll = rng.random()
    if roll < 0.2:
        text, parts = rng.choice(_FIXED_DURATIONS)
        return Duration(text, dict(parts))
    units = rng.choice((["minutes"], ["minutes"], ["seconds"], ["hours"]))
    if roll > 0.75:
        units = rng.choice((["hours", "minutes"], ["minutes", "seconds"]))
    parts = {unit: _pick_amount(rng, unit) for unit in units}
    joiner = rng.choice((" and ", " ", " and "))
    return Duration(joiner.join(_say_amount(rng, n, unit) for unit, n in parts.items()), parts)


def say_length(rng: random.Random) -> Duration:
    """A length of time in front of a noun, such as `5 minute` in `my 5 minute timer`."""
    unit = rng.choice(("minutes", "minutes", "seconds", "hours"))
    number = _pick_amount(rng, unit)
    hyphen = "-" if rng.random() < 0.2 else " "
    return Duration(f"{say_number(rng, number)}{hyphen}{unit[:-1]}", {unit: number})


def _pick_amount(rng: random.Random, unit: str) -> int:
    if unit == "hours":
        return rng.randint(1, 12)
    return rng.randint(1, 99) if rng.random() < 0.5 else 5 * rng.randint(1, 12)


def _say_amount(rng: random.Random, number: int, unit: str) -> str:
    short = {"hours": "h", "minutes": "min", "seconds": "sec"}[unit]
    if rng.random() < 0.08:
        return f"{number} {short}"
    return f"{say_number(rng, number)} {unit[:-1] if number == 1 else unit}"
