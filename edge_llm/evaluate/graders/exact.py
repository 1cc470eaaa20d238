"""An answer that must be a certain text."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from edge_llm.evaluate.graders.base import Reply, flag, refuse_unknown_options


@dataclass(frozen=True, slots=True)
class Exact:
    """Right when the text is one of the accepted ones, white space and Unicode form aside.

    With `ignore_case`, capitals aside too.
    """

    name: ClassVar[str] = "exact"
    expects: ClassVar[str] = "a text, or a list of texts of which any is right"
    accepted: frozenset[str]
    ignore_case: bool = False

    @classmethod
    def parse(cls, reference: Any, options: Mapping[str, Any]) -> Self:
        """See `Grader.parse`."""
        refuse_unknown_options(options, "ignore_case")
        texts = reference if isinstance(reference, list) else [reference]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{cls.expects}, not {reference!r}")
        ignore_case = flag(options, "ignore_case", False)
        return cls(frozenset(normalise(text, ignore_case) for text in texts), ignore_case)

    def grade(self, reply: Reply) -> float:
        """1 where the whole text is an accepted one, else 0."""
        return float(normalise(reply.text, self.ignore_case) in self.accepted)


def normalise(text: str, ignore_case: bool = False) -> str:
    """The text in Unicode's form NFC, with single spaces between its words."""
    plain = " ".join(unicodedata.normalize("NFC", text).split())
    return plain.casefold() if ignore_case else plain
