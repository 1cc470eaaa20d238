"""Reads the texts a domain is made of: patterns, macros, words and what is out of scope.

A domain is a folder of text files, so that one for a shop, a car or a factory needs no code:

    intents.toml          the calls: their slots, and what is said of them
    patterns/INTENT.txt   one pattern a line, under [command], [question] or [phrase]
    macros.txt            name = sub-pattern
    words/NAME.txt        one entry a line
    refused/KIND.txt      one template a line: what is said to the model but not for it
    smalltalk.txt         "= reply" and below it the templates that it answers
    prompts.txt           one system prompt a line, such as applications send

In all but the first a line that begins with `#` is a comment. In a pattern

    (a|b)                 is one of several
    [a]                   is there or not
    <name>                is the macro `name`
    {item from products}  is the slot `item`: an entry of words/products.txt or, half of the time,
                          an invented name; the call repeats it as it was typed
    {size of sizes}       is the slot `size`: always an entry of words/sizes.txt; a line
                          `big = large` there is said as `big` and called `large`
    {count:amount}        is the slot `amount`: 2, seven; {count:table=1..40} within bounds
    {percent:level}       35%, forty percent; {number:level} the same without a unit
    {degrees:target}      21 degrees, 19.5°
    {duration}            5 minutes, an hour and a half: the slots hours, minutes and seconds
    {duration:started_}   the same in slots with that prefix; {length} is 5-minute
    {color:paint}         is the same as {paint of colors}
    {text:note}           any words, copied
    {word:item=milk}      is the word `milk`, copied into the slot `item`
    {put:size=large}      says nothing and sets the slot `size`
    {command:later}       is a whole command of an intent that `can_wait`, copied

The other fillers, in home_fillers.py, are those of a home.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

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


@dataclass(frozen=True, eq=False)
class Grammar:
    """All texts of one domain."""

    patterns: tuple[Pattern, ...]
    macros: dict[str, str]
    words: dict[str, tuple[str, ...]]
    refused: dict[str, tuple[str, ...]]
    """By kind: knowledge, writing, hard negatives."""
    small_talk: tuple[SmallTalk, ...]
    prompts: tuple[str, ...]

    @cached_property
    def copied_lists(self) -> tuple[str, ...]:
        """Names of the lists that patterns copy from, each once."""
        return self._find_lists(r"\{\w+ from (\w+)\}")

    @cached_property
    def closed_lists(self) -> tuple[str, ...]:
        """Names of the lists of which patterns choose, each once."""
        return self._find_lists(r"\{\w+ of (\w+)\}")

    def _find_lists(self, reference: str) -> tuple[str, ...]:
        texts = (*(pattern.template for pattern in self.patterns), *self.macros.values())
        return tuple(dict.fromkeys(n for text in texts for n in re.findall(reference, text)))


@cache
def read_grammar(folder: Path) -> Grammar:
    """The texts in `folder`, and nothing else.

    Raises:
        ValueError: a line stands where none can, with the file and its number.
    """
    return Grammar(
        patterns=tuple(_read_patterns(folder / "patterns")),
        macros=dict(_read_macro(path, line) for path, line in _lines(folder / "macros.txt")),
        words={path.stem: _entries(path) for path in sorted((folder / "words").glob("*.txt"))},
        refused={path.stem: _entries(path) for path in sorted((folder / "refused").glob("*.txt"))},
        small_talk=tuple(_read_small_talk(folder / "smalltalk.txt")),
        prompts=_entries(folder / "prompts.txt"),
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
