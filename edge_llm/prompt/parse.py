"""An answer's text, as it is generated, to plain text, reasoning and tool calls.

Knows the `<think>` marker and those of `call_formats`. Where the text is cut into pieces makes no
difference. Not thread-safe: one `OutputParser` per answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from edge_llm.prompt.call_formats import CALL_FORMATS, JSON_CALLS, ParsedToolCall

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
_CALL_OPENS = {format.open: format for format in CALL_FORMATS}
MARKERS = frozenset(
    {THINK_OPEN, THINK_CLOSE, *_CALL_OPENS, *(format.close for format in CALL_FORMATS)}
)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of what the model thinks before it answers."""

    text: str


Segment = TextDelta | ReasoningDelta | ParsedToolCall


class _State(Enum):
    TEXT = "text"
    REASONING = "reasoning"
    CALL = "call"


class OutputParser:
    """Splits one answer. Holds back only what may still turn out to be a marker.

    White space beside a marker belongs to it. `<think>` counts only before the first word of the
    answer or right after another marker: later it is something the answer talks about.
    """

    def __init__(self, *, starts_in_thinking: bool = False) -> None:
        """`starts_in_thinking`: the prompt already ended with `<think>`."""
        self._state = _State.REASONING if starts_in_thinking else _State.TEXT
        self._buffer = ""
        self._format = JSON_CALLS
        self._searched = 0  # length of the call's text already searched for its end
        self._at_start = True  # nothing but white space since the last marker
        self._after_marker = False

    @property
    def is_reasoning(self) -> bool:
        """Whether what comes next belongs to the thoughts."""
        return self._state is _State.REASONING

    def add(self, text: str) -> list[Segment]:
        """The segments that `text` completes."""
        self._buffer += text
        segments: list[Segment] = []
        while self._step(segments):
            pass
        return segments

    def finish(self) -> list[Segment]:
        """What was held back, once the answer has ended."""
        rest, self._buffer = self._buffer, ""
        if self._state is _State.CALL:
            # Many models end the turn instead of closing the call.
            calls = self._format.parse(rest)
            return [*calls] if calls else [TextDelta(self._format.open + rest)]
        if self._after_marker and self._at_start:
            rest = rest.lstrip()
        if self._state is _State.REASONING:
            rest = rest.rstrip()
            return [ReasoningDelta(rest)] if rest else []
        return [TextDelta(rest)] if rest else []

    def _step(self, segments: list[Segment]) -> bool:
        """Take what can be taken from the buffer; whether a marker was passed."""
        if self._state is _State.CALL:
            return self._step_call(segments)
        if self._state is _State.REASONING and self._at_start:
            self._skip_repeated_open()
        found = self._next_marker()
        end = found[0] if found else self._safe_length()
        self._emit(self._buffer[:end], segments, before_marker=found is not None)
        if found is None:
            self._buffer = self._buffer[end:]
            return False
        marker = found[1]
        self._buffer = self._buffer[end + len(marker) :]
        if marker in _CALL_OPENS:
            self._state, self._format = _State.CALL, _CALL_OPENS[marker]
        else:
            self._state = _State.REASONING if marker == THINK_OPEN else _State.TEXT
        self._at_start = self._after_marker = True
        self._searched = 0
        return True

    def _skip_repeated_open(self) -> None:
        """Some models write the `<think>` that the prompt already holds."""
        while (text := self._buffer.lstrip()).startswith(THINK_OPEN):
            self._buffer = text[len(THINK_OPEN) :]

    def _markers(self) -> tuple[str, ...]:
        if self._state is _State.REASONING:
            return (THINK_CLOSE,)
        return (*_CALL_OPENS, THINK_OPEN) if self._at_start else (*_CALL_OPENS,)

    def _next_marker(self) -> tuple[int, str] | None:
        """Where the next marker starts, and which it is."""
        hits = [(self._buffer.find(marker), marker) for marker in self._markers()]
        hits = [hit for hit in hits if hit[0] >= 0]
        if not hits:
            return None
        at, marker = min(hits)
        if marker == THINK_OPEN and self._buffer[:at].strip():
            # Words come first, so this one is text; a call may still follow it.
            calls = [hit for hit in hits if hit[1] in _CALL_OPENS]
            return min(calls) if calls else None
        return at, marker

    def _safe_length(self) -> int:
        """How much of the buffer can no longer belong to a marker."""
        markers = self._markers()
        if self._state is _State.REASONING and self._at_start:
            markers += (THINK_OPEN,)
        longest = max(map(len, markers)) - 1
        text = self._buffer
        end = len(text)
        for start in range(max(0, end - longest), end):
            if any(marker.startswith(text[start:]) for marker in markers):
                end = start
                break
        return len(text[:end].rstrip())

    def _emit(self, text: str, segments: list[Segment], *, before_marker: bool) -> None:
        if before_marker:
            text = text.rstrip()
        if self._at_start:
            stripped = text.lstrip()
            if not stripped:
                # White space before the first word is held back in the buffer, or dropped.
                return
            if self._after_marker or self._state is _State.REASONING:
                text = stripped
            self._at_start = False
        if text:
            kind = ReasoningDelta if self._state is _State.REASONING else TextDelta
            segments.append(kind(text))

    def _step_call(self, segments: list[Segment]) -> bool:
        """Look for the end of the call; a marker inside a string is part of the string."""
        close = self._format.close
        at = self._buffer.find(close, max(0, self._searched - len(close) + 1))
        while at >= 0 and _inside_string(self._buffer[:at]):
            at = self._buffer.find(close, at + 1)
        if at < 0:
            self._searched = len(self._buffer)
            return False
        body = self._buffer[:at]
        self._buffer = self._buffer[at + len(close) :]
        calls = self._format.parse(body)
        segments += calls or [TextDelta(self._format.open + body + close)]
        self._state = _State.TEXT
        self._at_start = self._after_marker = bool(calls)
        return True


class NamedCall(Protocol):
    """Any record of a call."""

    @property
    def name(self) -> str:
        """The function."""
        ...

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What it is called with."""
        ...


def spoken_summary(calls: Sequence[NamedCall]) -> str:
    """A short sentence to say for calls that came without words.

    `HassTurnOn {area: kitchen, domain: light}` gives `Turn on: kitchen, light.`
    """
    return " ".join(_spoken_call(call) for call in calls)


def _spoken_call(call: NamedCall) -> str:
    words = " ".join(_words(call.name)) or "done"
    values = ", ".join(text for value in call.arguments.values() if (text := _spoken_value(value)))
    sentence = words[0].upper() + words[1:]
    return f"{sentence}: {values}." if values else f"{sentence}."


def _words(name: str) -> list[str]:
    """The words of a CamelCase, snake_case or dotted name, in lower case, without `Hass`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+", name)
    if len(words) > 1 and words[0].lower() == "hass":
        words = words[1:]
    return [word.lower() for word in words]


def _spoken_value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value.replace("_", " ").strip()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return " and ".join(text for item in value if (text := _spoken_value(item)))
    if isinstance(value, dict):
        return ", ".join(text for item in value.values() if (text := _spoken_value(item)))
    return ""


def _inside_string(body: str) -> bool:
    """Whether a quoted string is still open at the end of `body`."""
    quotes = re.sub(r"\\.", "", body, flags=re.DOTALL).count('"')
    return quotes % 2 == 1
