"""Messages in, the same messages with placeholders out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_llm.config.privacy import PrivacyConfig
from edge_llm.types import Message


class Redactions:
    """Owns which placeholder stands for which text of one conversation. Never leaves the device.

    Keep one for a conversation and pass it again: the same text then gets the same placeholder.
    Shows nothing in `repr`, and cannot be pickled or copied. May be used from any thread.
    """

    def __len__(self) -> int:
        """How many placeholders there are."""
        raise NotImplementedError


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
        raise NotImplementedError

    def redact_text(self, text: str, redactions: Redactions) -> tuple[str, Mapping[str, int]]:
        """One text with placeholders, and the replaced places by kind.

        Raises:
            RedactionError: it could not be searched.
        """
        raise NotImplementedError


def create_redactor(config: PrivacyConfig, *, strict: bool = False) -> Redactor:
    """The redactor that the configuration means.

    One whose rules cannot be used refuses every request with `RedactionError`, so that all of them
    stay local; its `problem` says why. With `strict` it is not made at all.

    Raises:
        PrivacyRuleError: with `strict`, a pattern, region or recogniser cannot be used.
    """
    raise NotImplementedError
