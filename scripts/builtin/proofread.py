"""Finds mistakes in the texts of a domain before hours go into training on them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

from scripts.builtin import out_of_scope
from scripts.builtin.domain import Domain
from scripts.builtin.generator import group_patterns
from scripts.builtin.grammar import Pattern
from scripts.builtin.home_fillers import FILLERS
from scripts.builtin.sentences import draft_pattern, finish
from scripts.builtin.templates import find_references
from scripts.builtin.words import Names

NUM_READINGS = 12
"""Random readings of each pattern that are held against the table."""


def proofread(domain: Domain) -> None:
    """Prints how much of what there is.

    Raises:
        ValueError: there are mistakes; the message lists them.
    """
    mistakes = list(dict.fromkeys(find_mistakes(domain)))
    patterns = Counter(pattern.intent for pattern in domain.grammar.patterns)
    print("patterns of each intent:", ", ".join(f"{n} {i}" for i, n in patterns.most_common()))
    held_out = {i: len(group) for i, group in group_patterns(domain, held_out=True).items()}
    print(f"{patterns.total()} patterns, {sum(held_out.values())} of them kept from training")
    if untested := [intent for intent in patterns if intent not in held_out]:
        print("none of them kept, so that the test says nothing of:", ", ".join(untested))
    refused = {kind: len(lines) for kind, lines in domain.grammar.refused.items()}
    print(f"{sum(refused.values())} lines out of scope:", refused)
    if mistakes:
        raise ValueError("\n".join([f"{len(mistakes)} mistakes", *mistakes]))
    print("no mistakes")


def find_mistakes(domain: Domain) -> Iterator[str]:
    """What is wrong in the texts of `domain`, one line each."""
    grammar = domain.grammar
    written = {pattern.intent for pattern in grammar.patterns}
    yield from (f"patterns/{i}.txt is missing" for i in domain.intents if i not in written)
    rng = random.Random(0)
    names = Names(rng, domain)
    for pattern in grammar.patterns:
        where = f"patterns/{pattern.intent}.txt: {pattern.template!r}"
        wrong = list(_find_unknown(pattern.template, domain)) or list(_try_pattern(pattern, names))
        yield from (f"{where}: {mistake}" for mistake in wrong)
    for kind, lines in grammar.refused.items():
        for line in lines:
            yield from (f"refused/{kind}.txt: {line!r}: {m}" for m in _try_line(line, names))
    for talk in grammar.small_talk:
        for line in talk.templates:
            yield from (f"smalltalk.txt: {line!r}: {m}" for m in _try_line(line, names))


def _find_unknown(template: str, domain: Domain) -> Iterator[str]:
    """Macros, fillers and lists that there are not."""
    try:
        references = set(find_references(template, domain.grammar.macros))
    except KeyError as error:
        yield f"there is no macro <{error.args[0]}>"
        return
    except ValueError as error:
        yield str(error)
        return
    for filler, argument in sorted(references):
        if filler not in FILLERS and filler != "command":
            yield f"there is no filler {{{filler}}}"
        elif filler in ("from", "of") and not domain.lexicon.get(argument.partition("=")[2]):
            yield f"there is no words/{argument.partition('=')[2]}.txt"
        elif filler == "command" and not domain.waiting_patterns:
            yield "{command} needs an intent that can_wait"


def _try_pattern(pattern: Pattern, names: Names) -> Iterator[str]:
    """What the table says against readings of `pattern`."""
    for _ in range(NUM_READINGS):
        try:
            command = finish(draft_pattern(pattern, names), names.rng)
        except (KeyError, ValueError) as error:
            yield f"a slot cannot be filled: {error.args[0]}"
            return
        for call in command.calls:
            yield from names.domain.intents.find_faults(call)


def _try_line(line: str, names: Names) -> Iterator[str]:
    try:
        for reference in find_references(line, names.domain.grammar.macros):
            out_of_scope.fill(reference.filler, names)
    except (KeyError, ValueError) as error:
        yield str(error.args[0])
