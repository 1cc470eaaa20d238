"""Addresses of e-mail, as written, hidden from robots, or spoken."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_llm.privacy.spans import PiiKind, Span

_MAX_LOCAL = 64
"""Source: RFC 5321 §4.5.3.1.1."""

_LOCAL_END = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")

_DOMAIN = re.compile(
    r"(?:\w(?:[\w-]{0,61}\w)?\.){1,8}(?:xn--[a-z0-9-]{1,59}|[^\W\d_]{2,63})"
    r"|\[[0-9a-f.:]{3,64}\]",
    re.IGNORECASE,
)

_HIDDEN = re.compile(
    r"\b[\w.+-]{1,64} ?[\[({<] ?(?:at|@) ?[\])}>] ?[\w-]{1,63}"
    r"(?: ?(?:\.|[\[({<] ?(?:dot|\.) ?[\])}>]) ?[\w-]{2,63}){1,4}",
    re.IGNORECASE,
)

_HIDDEN_SIGN = re.compile(r"[\[({<] ?(?:at|@) ?[\])}>]", re.IGNORECASE)

_SPOKEN_SIGN = re.compile(r" at [\w-]{1,63} dot ", re.IGNORECASE)
"""Without these there is none, and looking for these is quick."""

_SPOKEN = re.compile(
    r"\b[\w.+-]{1,64}(?: (?:dot|underscore|dash) [\w-]{1,63}){0,3} at [\w-]{1,63}"
    r"(?: dot [\w-]{1,63}){0,3} dot (?:com|org|net|edu|gov|info|io|me|[a-z]{2})\b",
    re.IGNORECASE,
)


def find(text: str) -> Iterator[Span]:
    """The addresses in a text."""
    at = text.find("@")
    while at >= 0:
        start, domain = _local_start(text, at), _DOMAIN.match(text, at + 1)
        if start < at and domain:
            yield Span(start, domain.end(), PiiKind.EMAIL)
        at = text.find("@", at + 1)
    for pattern, sign in ((_HIDDEN, _HIDDEN_SIGN), (_SPOKEN, _SPOKEN_SIGN)):
        if sign.search(text):
            for match in pattern.finditer(text):
                yield Span(match.start(), match.end(), PiiKind.EMAIL)


def _local_start(text: str, at: int) -> int:
    """Where the part before the `@` begins; `at` when there is none."""
    if text[at - 1 : at] == '"':
        opening = text.rfind('"', max(0, at - _MAX_LOCAL), at - 1)
        return opening if opening >= 0 else at
    begin = max(0, at - _MAX_LOCAL)
    match = _LOCAL_END.search(text[begin:at])
    if match is None:
        return at
    local = match[0]
    return at - len(local.lstrip("!#$%&'*+/=?^`{|}~-."))
