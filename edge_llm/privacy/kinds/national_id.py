"""Numbers that states give to people: for taxes, pensions, health, passports."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_llm.privacy.national import ALL
from edge_llm.privacy.spans import PiiKind, Span

_BEFORE = 64
"""Characters before a number in which a word may say what it is."""

_DIGITS = re.compile(r"\d(?:[^\d\n]{0,3}\d){3}")
"""No number has fewer digits so close to each other; most texts have none."""

_DOCUMENT = re.compile(
    r"\b(?:passport|reisepass|passeport|pasaporte|passaporto|paspoort|driving licen[cs]e"
    r"|driver'?s? licen[cs]e|führerschein|permis de conduire|licencia de conducir|identity card"
    r"|id card|personalausweis|carte d'identité|carta d'identità)\b[^\w\n]{0,3}"
    r"(?:(?:number|no|nr|n°|num|nummer|is|:|#)[^\w\n]{0,3}){0,3}"
    r"(?P<number>[A-Z0-9][A-Z0-9 -]{4,18}[A-Z0-9])",
    re.IGNORECASE,
)

_GROUPS_WITH_DIGITS = re.compile(
    r"[A-Z]{0,3}\d[A-Z0-9]*(?:[ -][A-Z]{0,3}\d[A-Z0-9]*)*", re.IGNORECASE
)


def find(text: str) -> Iterator[Span]:
    """The numbers in a text that have the right form and check digits of some country.

    Forms that any number could have count only with a word before them.
    """
    if not _DIGITS.search(text):
        return
    for number in ALL:
        for match in number.pattern.finditer(text):
            if not number.is_valid(match[0]):
                continue
            before = text[max(0, match.start() - _BEFORE) : match.start()]
            if number.is_distinct(match[0]) or (number.words and number.words.search(before)):
                yield Span(match.start(), match.end(), PiiKind.ID)
    for match in _DOCUMENT.finditer(text):
        value = _GROUPS_WITH_DIGITS.match(match["number"])
        if value and sum(char.isdigit() for char in value[0]) >= 5:
            yield Span(match.start("number"), match.start("number") + value.end(), PiiKind.ID)
