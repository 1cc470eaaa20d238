"""What a model is for: the texts of one folder and the calls they stand for.

`home/` is the domain of the built-in model, `examples/shop/` a small one to start from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from scripts.builtin.grammar import Form, Grammar, Pattern, SmallTalk, is_held_out, read_grammar
from scripts.builtin.intents import Intents, read_intents
from scripts.builtin.lexicon import Lexicon
from scripts.builtin.prompts import GENERAL_PROMPTS
from scripts.builtin.speech import can_describe

HOME = Path(__file__).parent / "home"
EXAMPLES = Path(__file__).parent / "examples"
TABLE = "intents.toml"
_KEYS = {
    "model": ("name", "description", "version", "license", "language"),
    "words": ("in_questions",),
    "from_home": ("refused", "without", "small_talk"),
}
"""Keys of each section; those of `[intents]` are the names of intents."""


@dataclass(frozen=True, slots=True)
class About:
    """What a model file says of itself."""

    name: str
    """Begins the names of the files that are written, too."""
    description: str = ""
    version: str = "0.1"
    license: str = ""
    language: str = "en"


@dataclass(frozen=True, eq=False)
class Domain:
    """One domain; compared by identity."""

    about: About
    intents: Intents
    grammar: Grammar
    lexicon: Lexicon

    @cached_property
    def replies(self) -> dict[str, str]:
        """What is said of the intents that have a reply in the table."""
        return {name: intent.reply for name, intent in self.intents.items() if intent.reply}

    @cached_property
    def waiting_patterns(self) -> list[Pattern]:
        """What `{command}` may say: commands of training that can wait."""
        return [
            pattern
            for pattern in self.grammar.patterns
            if self.intents[pattern.intent].can_wait
            and pattern.form is Form.COMMAND
            and not is_held_out(pattern.template)
        ]


@cache
def load_domain(folder: Path = HOME) -> Domain:
    """The domain in `folder`.

    Raises:
        ValueError: a text cannot be read, or texts and table do not fit each other.
    """
    table = _read_table(folder / TABLE)
    intents = read_intents(table.get("intents", {}))
    own, home = read_grammar(folder), read_grammar(HOME)
    for name, intent in intents.items():
        if not (intent.reply or can_describe(name)):
            raise ValueError(f"{folder / TABLE}: [intents.{name}] has no reply")
    for pattern in own.patterns:
        if pattern.intent not in intents:
            raise ValueError(f"{folder}: patterns, but no [intents.{pattern.intent}] in {TABLE}")
    grammar = replace(
        own,
        words={**home.words, **own.words},
        prompts=own.prompts or GENERAL_PROMPTS,
        **_borrow(table.get("from_home", {}), own, home),
    )
    if not any(grammar.refused.values()):
        raise ValueError(f"{folder} has no refused/*.txt: it would be sure of everything")
    asked = table.get("words", {}).get("in_questions")
    _check_keys(f"{folder}: [words] in_questions:", asked or (), grammar.words)
    asked = own.copied_lists if asked is None else asked
    about = About(**{"name": folder.resolve().name, **table.get("model", {})})
    return Domain(about, intents, grammar, Lexicon(grammar.words, own.words, asked))


def _read_table(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.parent} is no domain: it has no {TABLE}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    _check_keys(f"{path}:", table, ("intents", *_KEYS))
    for section, keys in _KEYS.items():
        _check_keys(f"{path}: [{section}]", table.get(section, {}), keys)
    return table


def _check_keys(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    for key in given:
        if key not in known:
            raise ValueError(f"{where} {key!r} is not one of {', '.join(known)}")


def _borrow(chosen: Mapping[str, Any], own: Grammar, home: Grammar) -> dict[str, Any]:
    """What is out of scope, and small talk: `chosen` from that of the home, then one's own.

    Lines that have one of the strings `without` in them stay behind.

    Raises:
        ValueError: the home has no such texts.
    """
    kinds: list[str] = chosen.get("refused", [])
    unfit: list[str] = chosen.get("without", [])
    replies: list[str] = chosen.get("small_talk", [])
    known = {talk.reply: talk for talk in home.small_talk}
    _check_keys("[from_home] refused:", kinds, home.refused)
    _check_keys("[from_home] small_talk:", replies, known)
    refused = {
        kind: tuple(line for line in home.refused[kind] if not any(map(line.__contains__, unfit)))
        for kind in kinds
    }
    talk: tuple[SmallTalk, ...] = (*(known[reply] for reply in replies), *own.small_talk)
    return {"refused": refused | own.refused, "small_talk": talk}
