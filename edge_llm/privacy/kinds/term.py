"""The user's own words and phrases."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

from edge_llm.privacy.spans import PiiKind, Span

_WORD = re.compile(r"\w+")


class TermFinder:
    """Finds given texts, whatever their case and the spaces in them. Frozen.

    Looks a text's words up instead of trying every term at every place, so that thousands of terms
    cost no more than a few.
    """

    def __init__(self, terms: Iterable[str]) -> None:
        self._by_word: dict[str, list[tuple[int, re.Pattern[str]]]] = defaultdict(list)
        self._without_words: list[str] = []
        for term in dict.fromkeys(spelling for one in terms for spelling in _spellings(one)):
            first = _WORD.search(term)
            if first is None:
                self._without_words.append(term)
                continue
            self._by_word[first[0].casefold()].append((first.start(), _pattern(term)))

    def __call__(self, text: str) -> Iterator[Span]:
        """The places of all terms in a text."""
        for word in _WORD.finditer(text):
            for before, pattern in self._by_word.get(word[0].casefold(), ()):
                match = pattern.match(text, max(0, word.start() - before))
                if match:
                    yield Span(*match.span(), PiiKind.TERM)
        for term in self._without_words:
            at = text.find(term)
            while at >= 0:
                yield Span(at, at + len(term), PiiKind.TERM)
                at = text.find(term, at + len(term))


def _spellings(term: str) -> set[str]:
    """The term with accents as one character and as two."""
    term = term.strip()
    return {unicodedata.normalize(form, term) for form in ("NFC", "NFD")} - {""}


def _pattern(term: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in term.split()]
    ends_in_word = r"(?!\w)" if term[-1].isalnum() or term[-1] == "_" else ""
    return re.compile(r"\s{1,8}".join(parts) + ends_in_word, re.IGNORECASE)
