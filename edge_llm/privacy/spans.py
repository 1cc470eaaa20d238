"""Places in a text: what a rule gives, and how several rules' places become one list. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple, TypeAlias


class PiiKind(StrEnum):
    """What a placeholder says of the text it stands for; the first wins where two kinds overlap."""

    TEXT = "TEXT"
    """What only looks like a placeholder."""
    KEY = "KEY"
    """A password, token or key of an API."""
    URL = "URL"
    """An address with credentials in it."""
    TERM = "TERM"
    """A term or pattern of the user's own."""
    EMAIL = "EMAIL"
    IBAN = "IBAN"
    CARD = "CARD"
    ID = "ID"
    """A number that a state gave to a person."""
    GPS = "GPS"
    MAC = "MAC"
    IP = "IP"
    PHONE = "PHONE"
    NAME = "NAME"
    ADDRESS = "ADDRESS"


class Span(NamedTuple):
    """`text[start:end]` is of a kind."""

    start: int
    end: int
    kind: PiiKind


Finder: TypeAlias = Callable[[str], Iterable[Span]]
"""The places of one kind in a text. Takes time in proportion to the length of the text."""

_RANK = {kind: rank for rank, kind in enumerate(PiiKind)}


def merge(spans: Iterable[Span]) -> list[Span]:
    """Places in order, none of which overlap; overlapping ones become one that covers all."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            kind = min(last.kind, span.kind, key=_RANK.__getitem__)
            merged[-1] = Span(last.start, max(last.end, span.end), kind)
        else:
            merged.append(span)
    return merged
