"""What stands in a text for what was taken out: `[EMAIL_1]`, and how a reply may spell it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edge_llm.privacy.spans import PiiKind, Span

PLACEHOLDER = re.compile(rf"\\?\[({'|'.join(PiiKind)})\\?_(\d{{1,9}})\\?\]", re.IGNORECASE)
"""As we write it, in other letters, or with what Markdown puts before brackets and underscores."""

_BEGINNING = re.compile(r"\\?\Z|\\?\[(?:[A-Za-z]+(?:\\?(?:_(?:\d{1,9}\\?)?)?)?)?\Z")
"""What may still become one."""


def placeholder(kind: PiiKind, number: int) -> str:
    """The text that stands for the `number`-th thing of a kind."""
    return f"[{kind}_{number}]"


def spelled(match: re.Match[str]) -> str:
    """The placeholder as we write it, of a match of `PLACEHOLDER`."""
    return f"[{match[1].upper()}_{int(match[2])}]"


def find_placeholders(text: str) -> Iterator[Span]:
    """What a text has that looks like a placeholder and is none: it must not be taken for one."""
    if "[" in text:
        for match in PLACEHOLDER.finditer(text):
            yield Span(match.start(), match.end(), PiiKind.TEXT)


def held_back(text: str) -> int:
    """How many characters at the end of a text may be the beginning of a placeholder."""
    start = max(text.rfind("["), text.rfind("\\[")) if "[" in text else -1
    if start > 0 and text[start - 1] == "\\":
        start -= 1
    if start >= 0 and _BEGINNING.match(text, start) and _may_begin(text[start:]):
        return len(text) - start
    return 1 if text.endswith("\\") else 0


def _may_begin(tail: str) -> bool:
    name = tail.replace("\\", "")[1:].upper()
    return any(f"{kind}_".startswith(name) or name.startswith(f"{kind}_") for kind in PiiKind)
