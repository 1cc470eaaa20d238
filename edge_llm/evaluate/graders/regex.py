"""An answer in which an expression must be found; the second door to RE2.

RE2 takes time in proportion to the text whatever expression a data set brings along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from edge_llm.evaluate.graders.base import Reply, flag, refuse_unknown_options

MAX_EXPRESSION_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Regex:
    """Right when the expression is found in the text; with `whole`, when it is all of the text."""

    name: ClassVar[str] = "regex"
    expects: ClassVar[str] = "a regular expression in RE2's syntax"
    expression: Any
    whole: bool = False

    @classmethod
    def parse(cls, reference: Any, options: Mapping[str, Any]) -> Self:
        """See `Grader.parse`."""
        import re2

        refuse_unknown_options(options, "ignore_case", "whole")
        if not isinstance(reference, str) or not reference:
            raise ValueError(f"{cls.expects}, not {reference!r}")
        settings = re2.Options()
        settings.log_errors = False
        settings.max_mem = MAX_EXPRESSION_BYTES
        settings.case_sensitive = not flag(options, "ignore_case", False)
        try:
            expression = re2.compile(reference, settings)
        except re2.error as exc:
            said = exc.args[0] if exc.args else "it does not compile"
            reason = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
            raise ValueError(f"{cls.expects}: {reason}") from None
        return cls(expression, flag(options, "whole", False))

    def grade(self, reply: Reply) -> float:
        """1 where it is found, else 0."""
        text = reply.text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are no UTF-8
        find = self.expression.fullmatch if self.whole else self.expression.search
        return float(find(text.strip() if self.whole else text) is not None)
