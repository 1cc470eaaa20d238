"""Whether the sums that a text writes out come out as it says."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_SUMS = 64

_NUMBER = r"\$?\s?\d[\d,]{0,14}(?:\.\d{1,9})?%?"
_SUM = re.compile(
    rf"({_NUMBER}(?:\s{{0,3}}[-+*/x×÷]\s{{0,3}}{_NUMBER}){{1,8}})"  # noqa: RUF001 — as people write
    rf"\s{{0,3}}=\s{{0,3}}\$?(\d[\d,]{{0,14}}(?:\.\d{{1,9}})?)"
)
_PARTS = re.compile(r"\d[\d,]*(?:\.\d+)?%?|[-+*/x×÷]")  # noqa: RUF001
_TIMES, _DIVIDED = "*x×", "/÷"  # noqa: RUF001
_ROUNDING = 0.006
"""Amounts are rounded to cents, and larger ones to about as much of themselves."""


class Sums(NamedTuple):
    """How many come out."""

    right: int
    wrong: int


def check_sums(text: str) -> Sums:
    """How many of the sums such as `3 * 4 + 2 = 14` in a text are right, and how many wrong."""
    right = wrong = 0
    for found in _SUM.finditer(text):
        value = _value(found[1])
        if value is None:
            continue
        said = float(found[2].replace(",", ""))
        if abs(value - said) <= _ROUNDING * max(1.0, abs(said)):
            right += 1
        else:
            wrong += 1
        if right + wrong >= MAX_SUMS:
            break
    return Sums(right, wrong)


def _value(text: str) -> float | None:
    """What an expression without brackets amounts to; None where it divides by 0."""
    parts = _PARTS.findall(text)
    total, product, operator = 0.0, _number(parts[0]), "+"
    for sign, number in zip(parts[1::2], map(_number, parts[2::2]), strict=False):
        if sign in _TIMES:
            product *= number
        elif sign in _DIVIDED:
            if number == 0.0:
                return None
            product /= number
        else:
            total += product if operator == "+" else -product
            product, operator = number, sign
    return total + (product if operator == "+" else -product)


def _number(text: str) -> float:
    value = float(text.rstrip("%").replace(",", ""))
    return value / 100.0 if text.endswith("%") else value
