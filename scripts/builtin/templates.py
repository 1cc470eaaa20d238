"""The small language patterns are written in.

`(a|b)` is a choice, `[a]` is optional, `{filler:argument}` is a slot and `<macro>` is replaced by
a shared sub-pattern; `{slot from list}` and `{slot of list}` are slots, too. It knows nothing of
intents: slots are returned for the caller to fill.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class SlotRef(NamedTuple):
    """A place in a sentence that the caller fills."""

    filler: str
    argument: str


Part = str | SlotRef
_CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_LISTED = re.compile(r"(\w+) (from|of) (\w+)")


def split_words(text: str) -> list[str]:
    """The words in `text`, which are separated by `|`."""
    return text.split("|")


def expand(template: str, rng: random.Random, macros: Mapping[str, str]) -> list[Part]:
    """One random reading of `template`: literal text and the slots in it, in order.

    Raises:
        ValueError: a bracket in `template` is not closed.
        KeyError: `template` names a macro that is not in `macros`.
    """
    parts: list[Part] = []
    position = 0
    while position < len(template):
        opener = template[position]
        if opener not in _CLOSERS:
            parts.append(opener)
            position += 1
            continue
        end = _find_close(template, position)
        parts.extend(_expand_group(opener, template[position + 1 : end], rng, macros))
        position = end + 1
    return _merge(parts)


def find_references(template: str, macros: Mapping[str, str]) -> Iterator[SlotRef]:
    """Every slot in any reading of `template`.

    Raises:
        ValueError: a bracket in `template` is not closed.
        KeyError: `template` names a macro that is not in `macros`.
    """
    position = 0
    while position < len(template):
        opener = template[position]
        if opener not in _CLOSERS:
            position += 1
            continue
        end = _find_close(template, position)
        inner = template[position + 1 : end]
        if opener == "{":
            yield _read_slot(inner)
        else:
            yield from find_references(macros[inner] if opener == "<" else inner, macros)
        position = end + 1


def _expand_group(
    opener: str, inner: str, rng: random.Random, macros: Mapping[str, str]
) -> list[Part]:
    if opener == "{":
        return [_read_slot(inner)]
    if opener == "<":
        return expand(f"({macros[inner]})", rng, macros)
    if opener == "[" and rng.random() < 0.5:
        return []
    return expand(rng.choice(_split_choices(inner)), rng, macros)


def _read_slot(inner: str) -> SlotRef:
    listed = _LISTED.fullmatch(inner)
    if listed:
        return SlotRef(listed[2], f"{listed[1]}={listed[3]}")
    filler, _, argument = inner.partition(":")
    return SlotRef(filler, argument)


def _find_close(template: str, start: int) -> int:
    opener = template[start]
    closer = _CLOSERS[opener]
    depth = 0
    for position in range(start, len(template)):
        depth += (template[position] == opener) - (template[position] == closer)
        if depth == 0:
            return position
    raise ValueError(f"bracket {opener!r} at {start} is not closed in {template!r}")


def _split_choices(inner: str) -> list[str]:
    choices, depth = [""], 0
    for char in inner:
        depth += (char in _CLOSERS) - (char in _CLOSERS.values())
        if char == "|" and depth == 0:
            choices.append("")
        else:
            choices[-1] += char
    return choices


def _merge(parts: list[Part]) -> list[Part]:
    merged: list[Part] = []
    for part in parts:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return merged
