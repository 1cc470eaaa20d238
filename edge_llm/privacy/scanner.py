"""One text at a time: the places in it that must not leave, and the text without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from edge_llm.errors import RedactionError
from edge_llm.privacy.fold import fold
from edge_llm.privacy.redactions import Redactions
from edge_llm.privacy.spans import Finder, PiiKind, Span, merge

MIN_KNOWN = 4
"""Shorter texts are replaced where a rule finds them, and not wherever else they stand."""


class Scanner:
    """Runs the finders over texts, and remembers within a request what they found. Not thread-safe.

    `note` all texts first and `replace` them after: what a rule found in one place is then replaced
    in every other, also where no rule would have seen it.
    """

    def __init__(
        self, finders: Sequence[Finder], keep: frozenset[str], redactions: Redactions
    ) -> None:
        self._finders = finders
        self._keep = keep
        self._redactions = redactions
        self._found: dict[tuple[str, str], list[Span]] = {}
        self._known: list[tuple[str, PiiKind]] | None = None
        self.counts: Counter[str] = Counter()
        """Replaced places by kind."""

    def note(self, text: str, name: str = "") -> None:
        """Find what a text holds; `name` is what it is called where it stands, such as `password`.

        Raises:
            RedactionError: a finder failed.
        """
        if (text, name) in self._found:
            return
        spans = self._find(text, name)
        self._found[text, name] = spans
        for start, end, kind in spans:
            self._redactions.placeholder_for(text[start:end], kind)

    def replace(self, text: str, name: str = "") -> str:
        """The text with placeholders, after all texts were noted."""
        if self._known is None:
            self._known = [
                (value, kind) for value, kind in self._redactions.known() if len(value) >= MIN_KNOWN
            ]
        spans = merge([*self._found[text, name], *self._find_known(text)])
        parts, after = [], 0
        for start, end, kind in spans:
            value = text[start:end]
            parts += [text[after:start], self._redactions.placeholder_for(value, kind)]
            self.counts[kind] += 1
            after = end
        return "".join([*parts, text[after:]]) if spans else text

    def _find(self, text: str, name: str) -> list[Span]:
        before = f"{name}: " if name else ""
        folded = fold(before + text)
        spans = []
        for finder in self._finders:
            try:
                found = list(finder(folded.text))
            except Exception as exc:  # noqa: BLE001 — whatever a finder raises, nothing may leave
                # Not chained: what it says may quote the text.
                raise RedactionError(
                    f"a rule of redaction failed: {type(exc).__name__}",
                    hint="nothing was sent; see the recogniser and the rules in [privacy]",
                ) from None
            for span in found:
                start, end = folded.original(span.start, span.end)
                start, end = max(0, start - len(before)), end - len(before)
                if end > start and text[start:end].casefold() not in self._keep:
                    spans.append(Span(start, end, span.kind))
        return merge(spans)

    def _find_known(self, text: str) -> Iterator[Span]:
        for value, kind in self._known or ():
            at = text.find(value)
            while at >= 0:
                end = at + len(value)
                # A number inside of a longer one is another number.
                if not (text[at - 1 : at].isalnum() and value[0].isalnum()) and not (
                    text[end : end + 1].isalnum() and value[-1].isalnum()
                ):
                    yield Span(at, end, kind)
                at = text.find(value, end)
