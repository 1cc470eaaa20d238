"""An answer that must pick one of several options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from edge_llm.evaluate.graders.base import Reply, refuse_unknown_options
from edge_llm.evaluate.graders.exact import normalise

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STATED = re.compile(
    r"(?:answer|choice|option)(?:\s+is|\s*:)?[\s*:\"'(\[]*([A-Za-z])\b", re.IGNORECASE
)
_FIRST = re.compile(r"^[\s*\"'(\[]*([A-Za-z])(?:[\s*\"')\].:,]|$)")
_BRACKETED = re.compile(r"[(\[]([A-Z])[)\]]")


@dataclass(frozen=True, slots=True)
class Choice:
    """Right when the answer picks the option: by its letter, or by its very words.

    `choices` are the words of the options, the first of which is A. What is stated last as "the
    answer is B" counts, then a letter at the beginning, then the only letter in brackets.
    """

    name: ClassVar[str] = "choice"
    expects: ClassVar[str] = "a letter such as B, or one of the texts in the option `choices`"
    letter: str
    choices: tuple[str, ...] = ()

    @classmethod
    def parse(cls, reference: Any, options: Mapping[str, Any]) -> Self:
        """See `Grader.parse`."""
        refuse_unknown_options(options, "choices")
        choices = _texts(options.get("choices", []))
        if not isinstance(reference, str):
            raise ValueError(f"{cls.expects}, not {reference!r}")
        wanted = normalise(reference, ignore_case=True)
        if wanted in choices:
            return cls(LETTERS[choices.index(wanted)], choices)
        letter = reference.strip().strip("().").upper()
        known = LETTERS[: len(choices)] if choices else LETTERS
        if len(letter) != 1 or letter not in known:
            raise ValueError(f"{cls.expects}, not {reference!r}")
        return cls(letter, choices)

    def grade(self, reply: Reply) -> float:
        """1 where the option is picked, else 0."""
        return float(self._picked(reply.text) == self.letter)

    def _picked(self, text: str) -> str | None:
        whole = normalise(text, ignore_case=True).rstrip(".")
        bare = [choice.rstrip(".") for choice in self.choices]
        if bare.count(whole) == 1:
            return LETTERS[bare.index(whole)]
        stated = _STATED.findall(text)
        if stated:
            return str(stated[-1]).upper()
        first = _FIRST.match(text)
        # "A" may be the article of a sentence; as an option it is followed by a mark.
        if first is not None and not re.match(r"\s*[Aa] \w", text):
            return first.group(1).upper()
        bracketed = set(_BRACKETED.findall(text))
        if len(bracketed) == 1:
            return str(bracketed.pop())
        named = [index for index, choice in enumerate(bare) if choice and choice in whole]
        return LETTERS[named[0]] if len(named) == 1 else None


def _texts(value: Any) -> tuple[str, ...]:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_list or not all(isinstance(text, str) for text in value) or len(value) > len(LETTERS):
        raise ValueError(f"choices must be a list of at most 26 texts, not {value!r}")
    return tuple(normalise(text, ignore_case=True) for text in value)
