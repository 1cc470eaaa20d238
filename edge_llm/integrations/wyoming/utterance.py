"""One thing that was said, as a client reports it: checked, and cut to what is of use here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wyoming.asr import Transcript
from wyoming.event import Event
from wyoming.intent import Recognize

from edge_llm.errors import InvalidParameterError
from edge_llm.integrations.wyoming.settings import VoiceSettings

logger = logging.getLogger(__name__)

MAX_ID_CHARS = 128
MAX_AREA_CHARS = 64


@dataclass(frozen=True, slots=True)
class Utterance:
    """What to answer."""

    text: str = field(repr=False)
    conversation_id: str
    language: str | None = None
    area: str | None = None
    """Where it was said."""
    wants_intent: bool = False
    """Only a command counts as an answer: it came as `recognize`."""


def is_utterance(event: Event) -> bool:
    """Whether the event asks for an answer."""
    return Transcript.is_type(event.type) or Recognize.is_type(event.type)


def read_utterance(event: Event, settings: VoiceSettings, conversation_id: str) -> Utterance:
    """What an event says; `conversation_id` is for clients that name none.

    Raises:
        InvalidParameterError: there is no text in it, or more than anybody says.
    """
    text = event.data.get("text")
    if not isinstance(text, str):
        raise InvalidParameterError(f"a {event.type} needs a text")
    if len(text) > settings.max_text_chars:
        raise InvalidParameterError(f"a text of more than {settings.max_text_chars} characters")
    context = event.data.get("context")
    known = context if isinstance(context, Mapping) else {}
    return Utterance(
        text=_clean(text),
        conversation_id=_text(known.get("conversation_id"), MAX_ID_CHARS) or conversation_id,
        language=_text(event.data.get("language"), MAX_ID_CHARS),
        area=_area(known, settings),
        wants_intent=Recognize.is_type(event.type),
    )


def _area(context: Mapping[str, Any], settings: VoiceSettings) -> str | None:
    """Where the satellite stands: as the client says, or as the owner wrote down for its id."""
    ids = (context.get("satellite_id"), context.get("device_id"))
    known = [settings.areas[one] for one in ids if isinstance(one, str) and one in settings.areas]
    told = _text(context.get("area"), MAX_AREA_CHARS)
    return known[0] if known else told


def _text(value: object, most: int) -> str | None:
    """A name on one line; None where it is none, and it is not worth refusing a request."""
    if not isinstance(value, str) or not value.strip():
        return None
    if len(value) > most or not value.isprintable():
        logger.debug("an id or a name of %d characters was ignored", len(value))
        return None
    return _clean(value)


def _clean(text: str) -> str:
    """Without halves of characters, which JSON can spell and no tokenizer can read."""
    return text.encode("utf-8", "replace").decode("utf-8").strip()
