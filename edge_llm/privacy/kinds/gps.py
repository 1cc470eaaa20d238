"""Where something is, as coordinates."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_llm.privacy.spans import PiiKind, Span

_DECIMAL = r"[+-]?\d{1,3}[.]\d{3,15}"

_PAIR = re.compile(
    rf"(?<![\d.])({_DECIMAL})\s?°?\s?([NS])?\s{{0,2}}[,;/ ]\s{{0,2}}({_DECIMAL})"
    r"\s?°?\s?(?:[EWO]\b)?(?!\d|\.\d)"
)

_NAMED = re.compile(
    r"\b(?:lat|latitude|lon|lng|long|longitude|breitengrad|längengrad)\b[\"']?\s{0,3}(?:[:=]|is|of)?"
    r"\s{0,3}[\"']?([+-]?\d{1,3}[.,]\d{2,15})",
    re.IGNORECASE,
)

_MINUTE, _SECOND = "(?:['\u2032\u2019m])", "(?:\"|\u2033|\u201d|''|\u2032\u2032|s)"
_NUMBER = r"\d{1,2}(?:[.]\d{1,6})?\s?"

_DEGREES = rf"\d{{1,3}}\s?(?:°|º|deg)\s?(?:{_NUMBER}{_MINUTE}\s?(?:{_NUMBER}{_SECOND}\s?)?)?"
_SEXAGESIMAL = re.compile(
    rf"(?<![\d.]){_DEGREES}[NS][\s,;/]{{0,3}}{_DEGREES}[EWO]\b"
    rf"|(?<![A-Za-z0-9_])[NS]\s?{_DEGREES}[\s,;/]{{0,3}}[EWO]\s?{_DEGREES}",
    re.IGNORECASE,
)

_LETTERED = re.compile(
    r"(?<![A-Za-z0-9_.])(?:[NS]\s?\d{1,2}[.]\d{2,9}[\s,;/]{1,3}[EWO]\s?\d{1,3}[.]\d{2,9}"
    r"|\d{1,2}[.]\d{2,9}\s?°?\s?[NS][\s,;/]{1,3}\d{1,3}[.]\d{2,9}\s?°?\s?[EWO])(?![A-Za-z0-9_])",
    re.IGNORECASE,
)

_PLUS_CODE = re.compile(
    r"(?<![A-Za-z0-9_+])[23456789CFGHJMPQRVWX]{8}\+[23456789CFGHJMPQRVWX]{2,3}(?![A-Za-z0-9_+])",
    re.IGNORECASE,
)
"""Source: Open Location Code specification."""


def find(text: str) -> Iterator[Span]:
    """The coordinates in a text: decimal with three places or more, degrees, or a plus code."""
    for match in _PAIR.finditer(text):
        if abs(float(match[1])) <= 90 and abs(float(match[3])) <= 180:
            yield Span(match.start(), match.end(), PiiKind.GPS)
    for match in _NAMED.finditer(text):
        if abs(float(match[1].replace(",", "."))) <= 180:
            yield Span(match.start(1), match.end(1), PiiKind.GPS)
    for pattern in (_SEXAGESIMAL, _LETTERED):
        for match in pattern.finditer(text):
            yield Span(match.start(), match.end(), PiiKind.GPS)
    if "+" in text:
        for match in _PLUS_CODE.finditer(text):
            yield Span(match.start(), match.end(), PiiKind.GPS)
