"""Finds the spellings of special tokens in text, and cuts a text at them as llama.cpp does."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from edge_llm.prompt.tokenizer import SpecialToken

_C_SPACE = " \t\n\v\f\r"  # C's isspace, which knows no Unicode


class LiteralIndex:
    """A set of texts, searched for all at once; the cost does not grow with their number."""

    def __init__(self, literals: Iterable[str]) -> None:
        self._literals = frozenset(literals) - {""}
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for literal in self._literals:
            lengths[literal[:2]].add(len(literal))
        self._lengths = {head: tuple(sorted(sizes)) for head, sizes in lengths.items()}
        self._heads = _heads_pattern(self._lengths)

    def find(self, text: str) -> Iterator[tuple[int, str]]:
        """Every occurrence as (start, literal): overlapping ones too, by rising start."""
        for match in self._heads.finditer(text):
            start = match.start()
            pair = text[start : start + 2]
            for head in (pair[0], pair) if len(pair) == 2 else (pair,):
                for size in self._lengths.get(head, ()):
                    literal = text[start : start + size]
                    # The second test is for the end of the text, where slices are cut short.
                    if literal in self._literals and len(literal) == size:
                        yield start, literal


class Partitioner:
    """Cuts text at special tokens."""

    def __init__(self, tokens: Iterable[SpecialToken]) -> None:
        self._tokens = {token.text: token for token in tokens if token.text}
        self._index = LiteralIndex(self._tokens)

    def split(self, text: str) -> list[str | SpecialToken]:
        """The tokens that `text` spells and the plain text between them, in order.

        The longest spelling is cut out everywhere first, then the next; white space that a token
        strips goes with it. Source: llama-vocab.cpp `tokenizer_st_partition`.
        """
        parts: list[str | SpecialToken] = [text] if text else []
        present = {literal for _, literal in self._index.find(text)}
        # llama.cpp compares lengths in bytes.
        for literal in sorted(present, key=lambda t: (-len(t.encode("utf-8", "replace")), t)):
            token = self._tokens[literal]
            parts = [piece for part in parts for piece in _cut(part, token)]
        return parts


def _heads_pattern(heads: Iterable[str]) -> re.Pattern[str]:
    """Matches one character where some literal may start."""
    seconds: defaultdict[str, str] = defaultdict(str)
    for head in heads:
        seconds[head[0]] += head[1:] or "\0"
    choices = []
    for first, rest in sorted(seconds.items()):
        alone = "\0" in rest  # a literal of one character needs no second
        follow = "" if alone else "(?=[" + re.escape(rest) + "])"
        choices.append(re.escape(first) + follow)
    return re.compile("|".join(choices) if choices else "(?!)")


def _cut(part: str | SpecialToken, token: SpecialToken) -> Iterator[str | SpecialToken]:
    if isinstance(part, SpecialToken) or token.text not in part:
        yield part
        return
    pieces = part.split(token.text)
    last = len(pieces) - 1
    for number, piece in enumerate(pieces):
        if number < last and token.strips_left:
            piece = piece.rstrip(_C_SPACE)
        if number > 0 and token.strips_right:
            piece = piece.lstrip(_C_SPACE)
        if piece:
            yield piece
        if number < last:
            yield token
