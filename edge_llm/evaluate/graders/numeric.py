"""An answer that must state a certain number, in whatever words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from edge_llm.evaluate.graders.base import Reply, refuse_unknown_options

_NUMBER = re.compile(
    r"(?<![\w.])(?:[-+\u2212]?[$\u20ac\u00a3]\s?|[-+\u2212])?"
    r"(?:\d{1,3}(?:[,\u202f\u00a0']\d{3})+|\d{1,400})"
    r"(?:\.\d{1,400})?(?:[eE][-+]?\d{1,4})?(?:\s?/\s?\d{1,400}(?![\d/.]))?"
)
"""With a sign, a currency, groups of three digits, a fraction; bounded, so that it stays linear."""
_MARKER = re.compile(r"####|\\boxed\{|(?:final )?answer(?: is|:)", re.IGNORECASE)
"""After which the result stands. Source: the formats of GSM8K and MATH."""
MAX_TEXT = 200_000
"""Characters of an answer that are looked at, from its end."""


@dataclass(frozen=True, slots=True)
class Numeric:
    """Right when the number fits that the answer ends up with.

    That is the one after the last `####`, `\\boxed{` or `answer:`, else the last of all.
    `tolerance` is absolute, `relative` a share of the reference; either is enough.
    """

    name: ClassVar[str] = "numeric"
    expects: ClassVar[str] = "a number, such as 18 or -2.5"
    value: float
    tolerance: float = 1e-9
    relative: float = 1e-9

    @classmethod
    def parse(cls, reference: Any, options: Mapping[str, Any]) -> Self:
        """See `Grader.parse`."""
        refuse_unknown_options(options, "tolerance", "relative")
        value = _finite(find_number(reference) if isinstance(reference, str) else reference)
        if value is None or (isinstance(reference, str) and not _is_number_only(reference)):
            raise ValueError(f"{cls.expects}, not {reference!r}")
        bounds = [options.get(name, 1e-9) for name in ("tolerance", "relative")]
        for bound in bounds:
            if (number := _finite(bound)) is None or number < 0:
                raise ValueError(f"tolerance and relative must be 0 or more, not {bound!r}")
        return cls(value, float(bounds[0]), float(bounds[1]))

    def grade(self, reply: Reply) -> float:
        """1 where the stated number fits, else 0."""
        found = find_number(reply.text)
        if found is None:
            return 0.0
        return float(
            abs(found - self.value) <= max(self.tolerance, self.relative * abs(self.value))
        )


def find_number(text: str) -> float | None:
    """The number that a text ends up with; None where it states none."""
    text = text[-MAX_TEXT:]
    markers = list(_MARKER.finditer(text))
    for marker in reversed(markers):
        after = _NUMBER.search(text, marker.end())
        if after is not None:
            return _to_float(after.group())
    last = None
    for match in _NUMBER.finditer(text):
        last = match.group()
    return None if last is None else _to_float(last)


def _to_float(text: str) -> float | None:
    plain = re.sub(r"[$\u20ac\u00a3,'\s\u202f\u00a0+]", "", text.replace("\u2212", "-"))
    over, _, under = plain.partition("/")
    try:
        value = float(over) / float(under) if under else float(over)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _is_number_only(text: str) -> bool:
    match = _NUMBER.fullmatch(text.strip().rstrip("%").strip())
    return match is not None


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
