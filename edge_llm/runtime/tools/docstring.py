"""What a docstring says of a function and of each parameter: Google's, NumPy's and Sphinx's styles.

Source: the Google Python style guide, section 3.8.3; numpydoc's format; Sphinx's field lists.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_GOOGLE_HEAD = re.compile(r"(Args|Arguments|Parameters|Params|Keyword Args|Other Parameters):\s*$")
_GOOGLE_OTHER = re.compile(r"[A-Z][A-Za-z ]+:\s*$")
_GOOGLE_ITEM = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY_ITEM = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_SPHINX_FIELD = re.compile(r":(\w+)([^:]*):\s*(.*)$")
_SPHINX_PARAM = ("param", "parameter", "arg", "argument", "key", "keyword")


@dataclass(frozen=True, slots=True)
class Docs:
    """Words for the model."""

    summary: str = ""
    """All that stands before the first section, as one paragraph each."""
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_docstring(text: str | None) -> Docs:
    """The words of a docstring; what is in no known style belongs to the summary."""
    lines = inspect.cleandoc(text or "").splitlines()
    reader = _Reader()
    for number, line in enumerate(lines):
        underlined = number + 1 < len(lines) and re.fullmatch(r"-{3,}\s*", lines[number + 1])
        reader.take(line, is_numpy_head=bool(underlined))
    return Docs(_paragraphs(reader.summary), reader.words)


class _Reader:
    def __init__(self) -> None:
        self.summary: list[str] = []
        self._found: dict[str, list[str]] = {}
        self._section = "summary"
        self._indent: int | None = None
        """Of the section's items, once the first came."""
        self._open: list[str] = []
        """Parameters that a further line speaks of."""

    @property
    def words(self) -> dict[str, str]:
        return {name: " ".join(filter(None, parts)) for name, parts in self._found.items()}

    def take(self, line: str, *, is_numpy_head: bool) -> None:
        text = line.strip()
        if self._heads(line, text, is_numpy_head=is_numpy_head):
            return
        if self._section == "summary":
            self.summary.append(text)
        elif self._section == "sphinx":
            self._further(text)
        elif text and self._section in ("google", "numpy"):
            self._item_or_further(line, text)

    def _heads(self, line: str, text: str, *, is_numpy_head: bool) -> bool:
        """Whether the line begins a section, or belongs to its beginning."""
        is_outer = line == text
        if is_numpy_head:
            self._begin("numpy" if text in ("Parameters", "Other Parameters") else "other")
        elif re.fullmatch(r"-{3,}", text) and self._section != "summary":
            pass
        elif is_outer and _GOOGLE_HEAD.match(text):
            self._begin("google")
        elif is_outer and self._section != "numpy" and _GOOGLE_OTHER.match(text):
            self._begin("other" if text.rstrip(": ") in _SECTIONS else self._section)
            return text.rstrip(": ") in _SECTIONS
        elif (found := _SPHINX_FIELD.match(text)) and is_outer:
            self._begin("sphinx")
            if found[1] in _SPHINX_PARAM and found[2].split():
                self._start([found[2].split()[-1].lstrip("*")], found[3])
        else:
            return False
        return True

    def _begin(self, section: str) -> None:
        self._section, self._indent, self._open = section, None, []

    def _item_or_further(self, line: str, text: str) -> None:
        indent = len(line) - len(line.lstrip())
        if self._indent is None:
            self._indent = indent
        if indent > self._indent:
            self._further(text)
        elif self._section == "google" and (found := _GOOGLE_ITEM.match(text)):
            self._start([found[1]], found[2])
        elif self._section == "numpy" and (found := _NUMPY_ITEM.match(text)):
            self._start([name.strip(" *") for name in found[1].split(",")], "")
        elif indent < self._indent:
            self._begin("other")

    def _start(self, names: list[str], words: str) -> None:
        self._open = names
        for name in names:
            self._found[name] = [words.strip()]

    def _further(self, text: str) -> None:
        for name in self._open:
            self._found[name].append(text)


_SECTIONS = frozenset(
    {
        "Attributes", "Example", "Examples", "Note", "Notes", "Raises", "References", "Return",
        "Returns", "See Also", "Todo", "Warning", "Warnings", "Warns", "Yield", "Yields",
    }
)  # fmt: skip


def _paragraphs(lines: list[str]) -> str:
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip())
    return "\n\n".join(" ".join(block.split()) for block in blocks if block.strip())
