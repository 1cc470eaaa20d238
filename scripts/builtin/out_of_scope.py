"""Sentences that ask for no call: small talk with short replies, and what the model is not for."""

from __future__ import annotations

from scripts.builtin.grammar import Grammar
from scripts.builtin.templates import SlotRef, expand
from scripts.builtin.words import Names

_INVENTED = frozenset({"topic", "work", "artist", "song", "place"})
"""Invented ones teach that an unknown word alone does not make a command."""


def say(template: str, names: Names) -> str:
    """One reading of a template that gives no call."""
    parts = expand(template, names.rng, names.domain.grammar.macros)
    return "".join(
        fill(part.filler, names) if isinstance(part, SlotRef) else part for part in parts
    )


def fill(filler: str, names: Names) -> str:
    """Text for a filler: a special one, or any list of words by its name or plural.

    Raises:
        KeyError: there is no such list.
    """
    rng, lexicon = names.rng, names.lexicon
    if filler == "number":
        return str(rng.randint(2, rng.choice((12, 100, 2000))))
    if filler == "somewhere":
        return rng.choice(lexicon["places"]) if rng.random() < 0.6 else names.phrase()
    if filler == "someone":
        return f"{names.person()} {names.word()}"
    if filler == "thing":
        return f"the {names.phrase()}" if rng.random() < 0.5 else rng.choice(lexicon["topics"])
    if filler == "gibberish":
        return " ".join(names.word() for _ in range(rng.randint(1, 6)))
    if filler == "word":
        # Words of the domain occur in questions too: they alone do not make a command.
        roll = rng.random()
        if roll < 0.35 and lexicon.in_questions:
            return rng.choice(lexicon.in_questions)
        return names.common_word() if roll < 0.75 else names.word()
    if filler in _INVENTED and rng.random() < 0.3:
        return names.phrase()
    return _choose(find_list(filler, names.domain.grammar), names)


def find_list(filler: str, grammar: Grammar) -> str:
    """The name of the list of words that `{filler}` means, by its name or its singular.

    Raises:
        KeyError: there is no such list.
    """
    for name in (filler, f"{filler}s", f"{filler}es", f"{filler.removesuffix('y')}ies"):
        if name in grammar.words:
            return name
    raise KeyError(f"there is no list of words for {{{filler}}}")


def _choose(name: str, names: Names) -> str:
    grammar = names.domain.grammar
    if name in grammar.copied_lists:
        return names.entry(name)
    entry = names.rng.choice(names.lexicon[name])
    return entry.partition(" = ")[0] if name in grammar.closed_lists else entry
