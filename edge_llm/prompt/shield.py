"""Keeps what users write from turning into the model's control tokens.

Before a template is rendered, a *sentinel*, a character that occurs nowhere else, is put into every
spelling of a protected token that a user's string holds, and at the borders of a string where it
could become part of one together with its neighbours. After rendering, whatever still spells a
protected token was written by the template. All other text stays as it is, so that a template's own
tests and trims see what they expect.

Not covered: a template that builds strings from slices, from `striptags` or character by character.
No template that was looked at does; `ChatTemplate.unshielded` names what one may do of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edge_llm.errors import InvalidParameterError
from edge_llm.prompt.literals import LiteralIndex
from edge_llm.prompt.messages import JsonObject
from edge_llm.prompt.tokenizer import SpecialToken, TokenKind

_SENTINELS = range(0xE000, 0xF900)  # Unicode's private use area
_STRUCTURE = re.compile(
    r"<\|.*|.*\|>"  # <|im_start|>, <|turn>, <turn|>
    r"|</?(?:think|thinking|reasoning|tool|tools|function|turn|channel|start_of|end_of)\w*>"
    r"|\[/?[A-Z][A-Z_]*\]",  # [INST]
    re.DOTALL,
)
# fmt: off
_KEYWORDS = frozenset(
    {
        "additionalProperties", "allOf", "anyOf", "arguments", "array", "boolean", "const",
        "content", "default", "description", "enum", "format", "function", "id", "integer", "items",
        "maximum", "maxItems", "maxLength", "minimum", "minItems", "minLength", "name", "null",
        "nullable", "number", "object", "oneOf", "parameters", "pattern", "properties", "required",
        "response", "return", "role", "strict", "string", "text", "title", "type",
    }
)
# fmt: on
"""Words of JSON Schema and of the tool format that templates test for: never touched as a key."""


def protected_tokens(tokens: Iterable[SpecialToken], source: str) -> list[SpecialToken]:
    """The tokens that only the template may write: all of control, and what marks structure.

    Other user-defined tokens, such as runs of spaces or `<table>`, are ordinary text.
    """
    return [
        token
        for token in tokens
        if len(token.text) >= 2
        and (
            token.kind is not TokenKind.USER_DEFINED
            or _STRUCTURE.fullmatch(token.text)
            or (token.text in source and not token.text.isspace())
        )
    ]


class Shield:
    """Puts sentinels into strings; made once per model, safe to use from any thread."""

    def __init__(
        self,
        literals: Sequence[str],
        *,
        needles: Iterable[str] = (),
        texts: Iterable[str] = (),
        any_case: bool = False,
    ) -> None:
        """Facts of the template (see `ChatTemplate`) say how a literal could be put together.

        `needles`: what it cuts out of strings; `texts`: what it writes around them; `any_case`: it
        changes their case.
        """
        self._fold_table = _FoldTable() if any_case else None
        self._needles = tuple(map(self._fold, needles))
        folded = sorted({self._fold(literal) for literal in literals})
        self._index = LiteralIndex(folded)
        # All literals between NULs: one `in` finds out whether a text starts, ends or lies in one.
        self._joined = "\0" + "\0".join(folded) + "\0"
        self._max_size = max(map(len, folded), default=1)
        self._firsts = {literal[0] for literal in folded}
        self._lasts = {literal[-1] for literal in folded}
        self._middles = "\0".join(_middles(folded, [self._fold(text) for text in texts]))
        self._open_needles = tuple(n for n in self._needles if "\0" + n not in self._joined)

    def pick_sentinel(self, strings: Iterable[str]) -> str:
        """A character that none of `strings` holds, neither as itself nor as an escape.

        Raises:
            InvalidParameterError: every candidate is taken.
        """
        text = "\0".join(strings)
        escapes = text.lower() if "\\" in text else ""
        for code in _SENTINELS:
            if chr(code) not in text and f"\\u{code:04x}" not in escapes:
                return chr(code)
        raise InvalidParameterError("the messages use every private-use character of Unicode")

    def cover(self, value: Any, sentinel: str) -> Any:
        """A copy of a JSON value with every string, dict keys included, made harmless.

        Raises:
            InvalidParameterError: `value` holds something that is not JSON.
        """
        if isinstance(value, str):
            return self.cover_text(value, sentinel)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            covered = JsonObject() if isinstance(value, JsonObject) else {}
            for key, item in value.items():
                is_word = key == "type" and isinstance(item, str) and item in _KEYWORDS
                covered[self._cover_key(key, sentinel)] = (
                    item if is_word else self.cover(item, sentinel)
                )
            return covered
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
            return [self.cover(item, sentinel) for item in value]
        raise InvalidParameterError(f"{value!r} is not a JSON value")

    def cover_text(self, text: str, sentinel: str) -> str:
        """`text` with the sentinel at every place where a protected token could arise."""
        folded = self._fold(text)
        cuts = {start + 1 for start, _ in self._index.find(folded)}
        cuts.update(self._border_cuts(folded))
        if self._needles and any(needle in folded for needle in self._needles):
            cuts.update(self._surgery_cuts(folded))
        if not cuts:
            return text
        borders = [0, *sorted(cuts), len(text)]
        pieces = [text[a:b] for a, b in itertools.pairwise(borders)]
        return sentinel.join(pieces)

    def _fold(self, text: str) -> str:
        return text if self._fold_table is None else text.translate(self._fold_table)

    def _cover_key(self, key: object, sentinel: str) -> str:
        if not isinstance(key, str):
            raise InvalidParameterError(f"{key!r} is not a JSON key", hint="use strings as keys")
        return key if key in _KEYWORDS else self.cover_text(key, sentinel)

    def _border_cuts(self, text: str) -> Iterator[int]:
        """Where `text` may continue or begin a literal that its neighbours complete.

        White space around is left outside, because templates trim it.
        """
        body = text.strip()
        if not body or "\0" in body:
            return
        start = text.index(body[0])
        if body in self._middles or any(self._suffixes(body)):
            yield start
        if any(self._prefixes(body)):
            yield start + len(body)

    def _suffixes(self, body: str) -> Iterator[bool]:
        """For each length that fits: whether the start of `body` is the end of a literal."""
        for size, char in enumerate(body[: self._max_size - 1], 1):
            if char in self._lasts:
                yield body[:size] + "\0" in self._joined

    def _prefixes(self, body: str) -> Iterator[bool]:
        """For each length that fits: whether the end of `body` is the start of a literal."""
        for size, char in enumerate(reversed(body[1 - self._max_size :]), 1):
            if char in self._firsts:
                yield "\0" + body[-size:] in self._joined

    def _surgery_cuts(self, text: str) -> Iterator[int]:
        """Behind every first character of a literal: the template may remove what follows it."""
        for at, char in enumerate(text):
            if char in self._firsts and not text.startswith(self._open_needles, at):
                yield at + 1


def _middles(literals: Iterable[str], texts: Iterable[str]) -> set[str]:
    """What is missing where the template writes the start and the end of a literal itself.

    As in `<{{ name }}>`, with the literal `<think>`.
    """
    stripped = [text.strip() for text in texts]
    middles = set()
    for literal in literals:
        sizes = range(1, len(literal))
        heads = [k for k in sizes if any(t.endswith(literal[:k]) for t in stripped)]
        tails = [k for k in sizes if any(t.startswith(literal[k:]) for t in stripped)]
        if heads and tails and heads[0] < tails[-1]:
            middles.add(literal[heads[0] : tails[-1]])
    return middles


class _FoldTable(dict[int, str]):
    """Maps a character to its caseless form, one character as well so that positions stay."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        # Upper case first: the template may do the same, and then a long s is an S.
        folded = char.upper().casefold()
        self[code] = folded if len(folded) == 1 else char
        return self[code]
