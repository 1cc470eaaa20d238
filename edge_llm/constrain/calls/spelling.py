"""A family's markers and texts as parts of a grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable

from edge_llm.constrain.grammar import Concat, Grammar, Marker, Part


def spell(text: str, markers: Iterable[str]) -> tuple[Part, ...]:
    """The text with each of the markers in it as one, in order; empty for an empty text."""
    known = sorted(set(markers), key=len, reverse=True)
    if not known:
        return (text,) if text else ()
    pieces = re.split("(" + "|".join(map(re.escape, known)) + ")", text)
    return tuple(Marker(piece) if piece in known else piece for piece in pieces if piece)


def concat(*parts: Part | tuple[Part, ...]) -> Grammar:
    """All of them after each other; tuples are taken apart."""
    flat: list[Part] = []
    for part in parts:
        if isinstance(part, tuple):
            flat += part
        elif part != "":
            flat.append(part)
    only = flat[0] if len(flat) == 1 else None
    return Concat(tuple(flat)) if only is None or isinstance(only, str) else only
