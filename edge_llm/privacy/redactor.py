"""Messages in, the same messages with placeholders out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from edge_llm.config import PrivacyConfig
from edge_llm.errors import PrivacyRuleError, RedactionError
from edge_llm.privacy.finders import create_finders
from edge_llm.privacy.redactions import Redactions
from edge_llm.privacy.scanner import Scanner
from edge_llm.privacy.spans import Finder
from edge_llm.privacy.walk import Visit, walk_json, walk_message, walk_tool
from edge_llm.types import Message


@dataclass(frozen=True, slots=True)
class Redacted:
    """What may leave, and what stays."""

    messages: Sequence[Message] = field(repr=False)
    tools: Sequence[Mapping[str, Any]] | None = field(repr=False)
    redactions: Redactions
    counts: Mapping[str, int]
    """Replaced places by kind, such as `{"EMAIL": 2}`, for the record."""


class Redactor:
    """Finds what identifies people or opens doors, in every text of a request. Thread-safe."""

    def __init__(
        self,
        finders: Sequence[Finder],
        *,
        keep: Sequence[str] = (),
        media: bool = False,
        problem: PrivacyRuleError | None = None,
    ) -> None:
        self._finders = tuple(finders)
        self._keep = frozenset(text.casefold() for text in keep)
        self._media = media
        self.problem = problem
        """Why this redactor refuses everything; None when it does not."""

    def redact(
        self,
        messages: Sequence[Message],
        redactions: Redactions | None = None,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Redacted:
        """New messages with placeholders such as `[EMAIL_1]`; what came in is not changed.

        All of it is searched: system prompts, parts, tool calls and their JSON arguments, tool
        results, names. `redactions` goes on with those of the conversation so far.

        Raises:
            RedactionError: a part could not be searched or replaced: nothing may leave. Never says
                what the text was.
        """
        redactions = Redactions() if redactions is None else redactions
        scanner = self._scanner(redactions)
        self._walk(messages, tools, _noting(scanner))
        found_messages, found_tools = self._walk(messages, tools, scanner.replace)
        counts = MappingProxyType(dict(sorted(scanner.counts.items())))
        return Redacted(found_messages, found_tools, redactions, counts)

    def redact_text(self, text: str, redactions: Redactions) -> tuple[str, Mapping[str, int]]:
        """One text with placeholders, and the replaced places by kind.

        Raises:
            RedactionError: it could not be searched.
        """
        scanner = self._scanner(redactions)
        walk_json(text, _noting(scanner))
        return walk_json(text, scanner.replace), dict(sorted(scanner.counts.items()))

    def _walk(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, visit: Visit
    ) -> tuple[list[Message], list[Mapping[str, Any]] | None]:
        found = [walk_message(message, visit, media=self._media) for message in messages]
        return list(found), None if tools is None else [walk_tool(tool, visit) for tool in tools]

    def _scanner(self, redactions: Redactions) -> Scanner:
        if self.problem is not None:
            raise RedactionError(
                "the rules of redaction cannot be used, so that everything stays here",
                hint=self.problem.message,
            )
        return Scanner(self._finders, self._keep, redactions)

    def __repr__(self) -> str:
        return f"Redactor({len(self._finders)} finders)"


def create_redactor(config: PrivacyConfig, *, strict: bool = False) -> Redactor:
    """The redactor that the configuration means.

    One whose rules cannot be used refuses every request with `RedactionError`, so that all of them
    stay local; its `problem` says why. With `strict` it is not made at all.

    Raises:
        PrivacyRuleError: with `strict`, a pattern, region or recogniser cannot be used.
    """
    try:
        finders = create_finders(config)
    except PrivacyRuleError as error:
        if strict:
            raise
        return Redactor((), problem=error)
    return Redactor(finders, keep=config.keep, media=config.media == "allow")


def _noting(scanner: Scanner) -> Visit:
    def visit(text: str, name: str) -> str:
        scanner.note(text, name)
        return text

    return visit
