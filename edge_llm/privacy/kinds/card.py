"""Numbers of payment cards."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_llm.privacy.kinds.digits import luhn, runs, windows
from edge_llm.privacy.spans import PiiKind, Span

_LENGTHS = (19, 18, 17, 16, 15, 14, 13, 12)
"""Longest first: one number in ten goes on after a card that would be right without its end."""

_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d+"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-59]|[689])\d{11,16}"  # Diners Club
    r"|35\d{14,17}"  # JCB
    r"|(?:6011|64[4-9]|65|62|60|81|82|508)\d{12,}"  # Discover, UnionPay, RuPay
    r"|(?:50|5[6-9]|6\d)\d{10,17}"  # Maestro
    r"|220[0-4]\d{12,15}"  # Mir
    r"|9792\d{12}"  # Troy
)
"""Source: ISO/IEC 7812 issuer ranges as published by the card networks, read 2026-11-22."""


def find(text: str) -> Iterator[Span]:
    """The card numbers in a text: a known issuer's digits, and the right check digit."""
    for run in runs(text, at_least=12):
        for start, end in windows(run, _LENGTHS, is_card):
            yield Span(start, end, PiiKind.CARD)


def is_card(digits: str) -> bool:
    """Whether an issuer may have given this number."""
    return bool(_ISSUERS.fullmatch(digits)) and luhn(digits) and len(set(digits)) > 1
