"""Numbers of a schema that the library can hold: it keeps bounds as floats, and then as 64 bits.

Beyond that it rounds them outwards, or ends the process (llguidance 1.9.1, a bound of -2**63).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

LARGEST_BOUND = 2**63 - 1024
"""The largest float below 2**63."""

MAX_MULTIPLES = 20_000
"""Product of a document's different `multipleOf`: an automaton has a state for each remainder."""


def fit_bound(keyword: str, value: float) -> float | None:
    """The bound as the library can hold it, never wider; None where nothing would be left.

    Args:
        keyword: `minimum`, `maximum` or their exclusive forms.
        value: A finite number.
    """
    is_lower = keyword.endswith("inimum")
    if (value > LARGEST_BOUND) if is_lower else (value < -LARGEST_BOUND):
        return None
    value = max(-LARGEST_BOUND, min(LARGEST_BOUND, value))
    rounded = float(value)
    if (rounded < value) if is_lower else (rounded > value):
        rounded = math.nextafter(rounded, math.inf if is_lower else -math.inf)
    return int(rounded) if isinstance(value, int) else rounded


def is_exact(value: Any) -> bool:
    """Whether the library would write a value of `enum` or `const` as it is."""
    if isinstance(value, dict):
        return all(map(is_exact, value.values()))
    if isinstance(value, list):
        return all(map(is_exact, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**64


class Multiples:
    """The different `multipleOf` of one document, which may meet in one value."""

    def __init__(self) -> None:
        self._seen: set[Fraction] = set()
        self._product = 1

    def admit(self, value: float) -> bool:
        """Whether one more is within the bound; counts it if so."""
        exact = Fraction(repr(value))
        if exact in self._seen or exact <= 0:
            return True
        if self._product * exact.numerator > MAX_MULTIPLES:
            return False
        self._product *= exact.numerator
        self._seen.add(exact)
        return True
