"""The user's own regular expressions, by RE2: the door to that library.

Python's own expressions can take exponential time on a text that somebody chose. RE2 takes time in
proportion to the text whatever the expression is; what it cannot do, look around and refer back, is
refused when the expression is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edge_llm.errors import PrivacyRuleError
from edge_llm.privacy.spans import PiiKind, Span

MAX_EXPRESSION_BYTES = 1 << 20
"""Memory that one compiled expression may take."""


def create_pattern_finder(patterns: Sequence[str]) -> Callable[[str], Iterator[Span]]:
    """A finder of what any of the expressions matches.

    Raises:
        PrivacyRuleError: one does not compile, would take too much memory, or matches nothing at
            all: an empty text.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_EXPRESSION_BYTES
    compiled = []
    for number, pattern in enumerate(patterns, 1):
        try:
            expression = re2.compile(pattern, options)
        except re2.error as exc:
            raise _refused(number, _reason(exc)) from None
        if expression.search("") is not None:
            raise _refused(number, "it matches an empty text, and so everywhere")
        compiled.append(expression)

    def find(text: str) -> Iterator[Span]:
        for expression in compiled:
            for match in expression.finditer(text):
                if match.end() > match.start():
                    yield Span(match.start(), match.end(), PiiKind.TERM)

    return find


def _reason(exc: Exception) -> str:
    said = exc.args[0] if exc.args else ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    # What follows the colon quotes the expression, which may be what must not be seen.
    return text.partition(":")[0] or "it does not compile"


def _refused(number: int, reason: str) -> PrivacyRuleError:
    return PrivacyRuleError(
        f"privacy.patterns: expression {number} cannot be used: {reason}",
        hint="RE2's syntax: https://github.com/google/re2/wiki/Syntax, without looking around",
    )
