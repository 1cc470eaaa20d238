"""Placeholders in a reply back to what they stand for, as the reply comes in."""

from __future__ import annotations

from typing import Any

from edge_llm.privacy.redactor import Redactions


class Restorer:
    """Restores one streamed text, a placeholder split over pieces included. Not thread-safe.

    Holds back only what may still become a placeholder. Joined together, what comes out is the same
    however the text was cut.
    """

    def __init__(self, redactions: Redactions, *, json_escaped: bool = False) -> None:
        raise NotImplementedError

    def feed(self, piece: str) -> str:
        """What can be shown after this piece."""
        raise NotImplementedError

    def flush(self) -> str:
        """The rest, at the end of the text."""
        raise NotImplementedError


def restore_text(text: str, redactions: Redactions) -> str:
    """A whole text with what its placeholders stand for."""
    raise NotImplementedError


def restore_value(value: Any, redactions: Redactions) -> Any:
    """A JSON value with every text in it restored, such as parsed tool arguments."""
    raise NotImplementedError


def restore_json(text: str, redactions: Redactions) -> str:
    """The text of a JSON document, such as a call's `arguments`, restored and escaped as JSON."""
    raise NotImplementedError
