"""Sentences that ask for no call: small talk with short replies, and what the model is not for."""

from __future__ import annotations

from scripts.builtin.grammar import Grammar
from scripts.builtin.templates import SlotRef, expand
from scripts.builtin.words import AREAS, DEVICES, GROCERIES, Names

_HOME_WORDS = (*DEVICES["switch"], *DEVICES["thing"], *GROCERIES, *AREAS)
_INVENTED = frozenset({"topic", "work", "artist", "song", "place"})
"""Invented ones teach that an unknown word alone does not make a command."""


def say(template: str, names: Names, grammar: Grammar) -> str:
    """One reading of a template that gives no call."""
    parts = expand(template, names.rng, grammar.macros)
    return "".join(
        _fill(part.filler, names, grammar) if isinstance(part, SlotRef) else part for part in parts
    )


def _fill(filler: str, names: Names, grammar: Grammar) -> str:
    """Text for a filler: a special one, or any list of words by its name or plural.

    Raises:
        KeyError: there is no such list.
    """
    rng = names.rng
    if filler == "number":
        return str(rng.randint(2, rng.choice((12, 100, 2000))))
    if filler == "somewhere":
        return rng.choice(grammar.words["places"]) if rng.random() < 0.6 else names.phrase()
    if filler == "someone":
        return f"{names.person()} {names.word()}"
    if filler == "thing":
        return (
            f"the {names.phrase()}" if rng.random() < 0.5 else rng.choice(grammar.words["topics"])
        )
    if filler == "gibberish":
        return " ".join(names.word() for _ in range(rng.randint(1, 6)))
    if filler == "word":
        # Words of the home occur in questions too: they alone do not make a command.
        roll = rng.random()
        if roll < 0.35:
            return rng.choice(_HOME_WORDS)
        return names.common_word() if roll < 0.75 else names.word()
    if filler in _INVENTED and rng.random() < 0.3:
        return names.phrase()
    return rng.choice(_list_of(filler, grammar))


def _list_of(filler: str, grammar: Grammar) -> tuple[str, ...]:
    for name in (filler, f"{filler}s", f"{filler}es", f"{filler.removesuffix('y')}ies"):
        if name in grammar.words:
            return grammar.words[name]
    raise KeyError(f"no list of words for {{{filler}}}")
