"""Reads the texts a domain is made of: patterns, macros, words and what is out of scope.

A domain is a folder of text files, so that one for a shop, a car or a factory needs no code:

    patterns/INTENT.txt   one pattern a line, under [command], [question] or [phrase]
    macros.txt            name = sub-pattern
    words/NAME.txt        one entry a line
    refused/KIND.txt      one template a line: what is said to the model but not for it
    smalltalk.txt         "= reply" and below it the templates that it answers

In all of them a line that begins with `#` is a comment.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import NamedTuple

HOME = Path(__file__).parent / "home"
HELD_OUT_SHARE = 10
"""One line in this many is kept from training."""


class Form(Enum):
    """How a pattern may be dressed up."""

    COMMAND = "command"
    """Imperative: takes polite words and may be joined with others."""
    QUESTION = "question"
    """Ends in a question mark, if any."""
    PHRASE = "phrase"
    """Ellipsis: no polite words in front."""


class Pattern(NamedTuple):
    """One way to say one intent."""

    intent: str
    template: str
    form: Form


class SmallTalk(NamedTuple):
    """Things people say in passing, and the one reply to all of them."""

    reply: str
    templates: tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """All texts of one domain."""

    patterns: tuple[Pattern, ...]
    macros: dict[str, str]
    words: dict[str, tuple[str, ...]]
    refused: dict[str, tuple[str, ...]]
    """By kind: knowledge, writing, hard negatives."""
    small_talk: tuple[SmallTalk, ...]


@cache
def load_grammar(folder: Path = HOME) -> Grammar:
    """The texts in `folder`.

    Raises:
        ValueError: a line stands where none can, with the file and its number.
    """
    return Grammar(
        patterns=tuple(_read_patterns(folder / "patterns")),
        macros=dict(_read_macro(path, line) for path, line in _lines(folder / "macros.txt")),
        words={path.stem: _entries(path) for path in sorted((folder / "words").glob("*.txt"))},
        refused={path.stem: _entries(path) for path in sorted((folder / "refused").glob("*.txt"))},
        small_talk=tuple(_read_small_talk(folder / "smalltalk.txt")),
    )


def is_held_out(template: str) -> bool:
    """Whether a line is kept from training; depends on its text alone."""
    return zlib.crc32(template.encode()) % HELD_OUT_SHARE == 0


def _read_patterns(folder: Path) -> Iterator[Pattern]:
    forms = {f"[{form.value}]": form for form in Form}
    for path in sorted(folder.glob("*.txt")):
        form: Form | None = None
        seen: set[str] = set()
        for where, line in _lines(path):
            if line in forms:
                form = forms[line]
            elif form is None:
                raise ValueError(f"{where}: {line!r} stands before [command]")
            elif line not in seen:
                seen.add(line)
                yield Pattern(path.stem, line.strip(), form)


def _read_macro(where: str, line: str) -> tuple[str, str]:
    name, equals, value = line.partition(" = ")
    if not equals:
        raise ValueError(f"{where}: {line!r} is not `name = sub-pattern`")
    return name, value


def _read_small_talk(path: Path) -> Iterator[SmallTalk]:
    reply = ""
    templates: list[str] = []
    for where, line in _lines(path):
        if line.startswith("= "):
            if templates:
                yield SmallTalk(reply, tuple(templates))
            reply, templates = line[2:], []
        elif not reply:
            raise ValueError(f"{where}: {line!r} stands before a reply")
        else:
            templates.append(line.strip())
    if templates:
        yield SmallTalk(reply, tuple(templates))


def _entries(path: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line.strip() for _, line in _lines(path)))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Where each line of `path` stands, and its text; the space at its end may matter."""
    if not path.exists():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield f"{path.name}:{number}", line
