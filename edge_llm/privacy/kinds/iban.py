"""International bank account numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_llm.privacy.kinds.digits import mod_97
from edge_llm.privacy.spans import PiiKind, Span

_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2} ?\d{2}")

_REST = re.compile(r"(?:[ .-]?[A-Za-z0-9]){0,30}")

_REGISTRY = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22
CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22
GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30
KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20
MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22
RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26
UA29 VA22 VG24 XK20 YE30
"""
"""Countries, each with the characters of a number. Source: SWIFT IBAN registry."""

_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _REGISTRY.split()}


def find(text: str) -> Iterator[Span]:
    """The IBANs in a text, in groups or not: a known country's length, and the right check."""
    for match in _START.finditer(text):
        length = _LENGTHS.get(match[0][:2].upper())
        if length is None:
            continue
        rest = _REST.match(text, match.end())
        places = [
            at
            for at in range(match.start(), rest.end() if rest else match.end())
            if text[at].isalnum()
        ][:length]
        number = "".join(text[at] for at in places)
        if len(number) == length and number.isascii() and mod_97(number[4:] + number[:4]) == 1:
            yield Span(places[0], places[-1] + 1, PiiKind.IBAN)
