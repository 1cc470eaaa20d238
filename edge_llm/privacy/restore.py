"""Placeholders in a reply back to what they stand for, as the reply comes in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edge_llm.privacy.placeholders import PLACEHOLDER, held_back, spelled
from edge_llm.privacy.redactions import Redactions


class Restorer:
    """Restores one streamed text, a placeholder split over pieces included. Not thread-safe.

    Holds back only what may still become a placeholder. Joined together, what comes out is the same
    however the text was cut. With `json_escaped` the text is that of a JSON document, such as a
    call's `arguments`, and what is put in is escaped for a string there.
    """

    def __init__(self, redactions: Redactions, *, json_escaped: bool = False) -> None:
        self._redactions = redactions
        self._json_escaped = json_escaped
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown after this piece."""
        text = self._held + piece
        held = held_back(text) if len(self._redactions) else 0
        self._held = text[len(text) - held :]
        return self._restored(text[: len(text) - held])

    def flush(self) -> str:
        """The rest, at the end of the text."""
        text, self._held = self._held, ""
        return self._restored(text)

    def _restored(self, text: str) -> str:
        return _restored(text, self._redactions, json_escaped=self._json_escaped)


def restore_text(text: str, redactions: Redactions) -> str:
    """A whole text with what its placeholders stand for."""
    return _restored(text, redactions, json_escaped=False)


def restore_value(value: Any, redactions: Redactions) -> Any:
    """A JSON value with every text in it restored, such as parsed tool arguments."""
    if isinstance(value, str):
        return restore_text(value, redactions)
    if isinstance(value, Mapping):
        return {
            restore_value(key, redactions): restore_value(inner, redactions)
            for key, inner in value.items()
        }
    if isinstance(value, Sequence):
        return [restore_value(inner, redactions) for inner in value]
    return value


def restore_json(text: str, redactions: Redactions) -> str:
    """The text of a JSON document, such as a call's `arguments`, restored and escaped as JSON.

    What is not JSON, such as half a document, is restored where it stands.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _restored(text, redactions, json_escaped=True)
    restored = restore_value(value, redactions)
    return text if restored == value else json.dumps(restored, ensure_ascii=False)


def _restored(text: str, redactions: Redactions, *, json_escaped: bool) -> str:
    def original(match: re.Match[str]) -> str:
        known = redactions.text_of(spelled(match))
        if known is None:
            return match[0]
        return json.dumps(known, ensure_ascii=False)[1:-1] if json_escaped else known

    return PLACEHOLDER.sub(original, text) if "[" in text else text
