"""An answer's text, as it is generated, to plain text, reasoning and tool calls.

Where the text is cut into pieces makes no difference. What a family writes around its calls and its
thoughts is in `prompt.calls`. Not thread-safe: one `OutputParser` per answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from edge_llm.prompt.calls.base import (
    CallArguments,
    CallFormat,
    CallPiece,
    CallReader,
    CallStart,
    NotACallError,
    OfferedTool,
    ParsedToolCall,
)
from edge_llm.prompt.calls.reasoning import THINK, Reasoning
from edge_llm.prompt.calls.registry import GENERIC

__all__ = [
    "CallArguments",
    "CallStart",
    "OutputParser",
    "ParsedToolCall",
    "ReasoningDelta",
    "Segment",
    "TextDelta",
]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of what the model thinks before it answers."""

    text: str


Segment: TypeAlias = TextDelta | ReasoningDelta | CallPiece


class _State(Enum):
    TEXT = "text"
    REASONING = "reasoning"
    CALL = "call"
    REFUSED = "refused"
    """In a section that turned out to be no call, up to its end."""


class _Markers:
    """The markers that count at one place of an answer."""

    def __init__(self, texts: tuple[str, ...], more_held: tuple[str, ...] = ()) -> None:
        """`more_held`: what text may still become although it counts as no marker."""
        self.texts = texts
        self.held = texts + more_held
        self.longest = max(map(len, self.held))
        self.firsts = frozenset(text[0] for text in self.held)


class OutputParser:
    """Splits one answer. Holds back only what may still turn out to be a marker.

    White space beside a marker belongs to it. The marker before thoughts counts only before the
    first word of the answer or right after another marker: later it is something that the answer
    talks about. What does not read as calls to its end is text, every character of it.
    """

    def __init__(
        self,
        *,
        starts_in_thinking: bool = False,
        format: CallFormat = GENERIC,
        reasoning: Reasoning = THINK,
        tools: Mapping[str, OfferedTool] | None = None,
        is_live: bool = False,
    ) -> None:
        """`starts_in_thinking`: the prompt already ended with the marker before thoughts.

        `tools` are those that were offered. `is_live` gives a call's name and arguments as they
        come, which is for answers that a grammar keeps from breaking off; else calls come whole.
        """
        self._format = format
        self._reasoning = reasoning
        self._tools = tools or {}
        self._is_live = is_live
        self._state = _State.REASONING if starts_in_thinking else _State.TEXT
        self._buffer = "" if starts_in_thinking else format.prompt_ends_with
        self._is_final = False
        self._at_start = True  # nothing but white space since the last marker
        self._after_marker = False
        self._gap = ""  # white space between the text and the marker that came last
        self._opened_by = ""
        self._section = ""  # what came since the marker
        self._held: list[CallPiece] = []
        self._reader: CallReader | None = None
        self._places: dict[tuple[bool, bool], _Markers] = {}
        self._anywhere = tuple(o for o in format.layout.opens if o not in format.start_opens)
        self.has_unfinished_call = False
        """Whether the answer ended in the middle of a call."""

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
        self._is_final = True
        segments = self.add("")
        rest, self._buffer = self._buffer, ""
        if self._after_marker and self._at_start:
            rest = rest.lstrip()
        if self._state is _State.REASONING:
            rest = rest.rstrip()
            segments += [ReasoningDelta(rest)] if rest else []
        else:
            segments += [TextDelta(rest)] if rest else []
        return segments

    def _step(self, segments: list[Segment]) -> bool:
        """Take what can be taken from the buffer; whether a marker was passed."""
        match self._state:
            case _State.CALL:
                return self._step_call(segments)
            case _State.REFUSED:
                return self._step_refused(segments)
        if self._state is _State.REASONING and self._at_start:
            self._skip_repeated_open()
        hold = self._hold_from()
        is_plain = self._markers().firsts.isdisjoint(self._buffer)
        found = None if is_plain else self._next_marker(hold)
        end = found[0] if found else len(self._buffer[:hold].rstrip())
        self._emit(self._buffer[:end], segments, before_marker=found is not None)
        if found is None:
            self._buffer = self._buffer[end:]
            return False
        marker = found[1]
        self._buffer = self._buffer[end + len(marker) :]
        self._pass(marker)
        return True

    def _pass(self, marker: str) -> None:
        if self._state is _State.REASONING:
            self._state = _State.TEXT
        elif marker == self._reasoning.open:
            self._state = _State.REASONING
        elif marker not in self._format.silent:
            self._state = _State.CALL
            self._opened_by, self._section, self._held = marker, "", []
            self._reader = self._format.layout.reader(marker, self._tools)
        self._at_start = self._after_marker = True

    def _skip_repeated_open(self) -> None:
        """Some models write the `<think>` that the prompt already holds."""
        marker = self._reasoning.open
        while (text := self._buffer.lstrip()).startswith(marker):
            self._buffer = text[len(marker) :]

    def _markers(self) -> _Markers:
        """Those that count here."""
        place = (self._state is _State.REASONING, self._at_start)
        found = self._places.get(place)
        if found is None:
            found = self._places[place] = self._find_markers(*place)
        return found

    def _find_markers(self, is_reasoning: bool, at_start: bool) -> _Markers:
        reasoning = self._reasoning
        if is_reasoning:
            return _Markers((reasoning.close,), (reasoning.open,) if at_start else ())
        markers = (*self._anywhere, *self._format.silent)
        if at_start:
            markers += (reasoning.open, *(self._format.start_opens if self._tools else ()))
        return _Markers(markers)

    def _next_marker(self, hold: int) -> tuple[int, str] | None:
        """Where the next marker starts, and which it is; none from `hold` on."""
        for at, marker in sorted(self._hits(), key=lambda hit: (hit[0], -len(hit[1]))):
            if at >= hold:
                return None
            words_before = self._buffer[:at].strip()
            if words_before and marker not in self._anywhere and marker not in self._silent:
                continue  # words come first, so this one is text; a call may still follow it
            return at, marker
        return None

    @property
    def _silent(self) -> tuple[str, ...]:
        if self._state is _State.REASONING:
            return (self._reasoning.close,)
        return self._format.silent

    def _hits(self) -> Iterable[tuple[int, str]]:
        for marker in self._markers().texts:
            at = self._buffer.find(marker)
            if at >= 0:
                yield at, marker

    def _hold_from(self) -> int:
        """Where the text begins that may still become a marker, or a longer one."""
        if self._is_final:
            return len(self._buffer) + 1
        markers = self._markers()
        text, end = self._buffer, len(self._buffer)
        for start in range(max(0, end - markers.longest + 1), end):
            if text[start] in markers.firsts:
                tail = text[start:]
                if any(len(m) > len(tail) and m.startswith(tail) for m in markers.held):
                    return start
        return end + 1

    def _emit(self, text: str, segments: list[Segment], *, before_marker: bool) -> None:
        self._gap = ""
        if before_marker:
            stripped = text.rstrip()
            self._gap, text = text[len(stripped) :], stripped
        if self._at_start:
            stripped = text.lstrip()
            if not stripped:
                # White space before the first word is held back in the buffer, or dropped.
                self._gap = ""
                return
            if self._after_marker or self._state is _State.REASONING:
                text = stripped
            self._at_start = False
        if text:
            kind = ReasoningDelta if self._state is _State.REASONING else TextDelta
            segments.append(kind(text))

    def _step_call(self, segments: list[Segment]) -> bool:
        reader = self._reader
        if reader is None:
            return False
        text, self._buffer = self._buffer, ""
        self._section += text
        try:
            pieces = reader.feed(text)
            if self._is_final and reader.rest is None:
                pieces += reader.finish()
            self._refuse_strangers(pieces)
        except NotACallError:
            return self._give_up(segments)
        self._held += pieces
        rest = reader.rest
        if self._is_live:
            segments += self._held
            self._held = []
        if rest is None:
            return False
        segments += [piece for piece in self._held if isinstance(piece, ParsedToolCall)]
        self._buffer = rest
        self._state = _State.TEXT
        self._at_start = self._after_marker = True
        return True

    def _refuse_strangers(self, pieces: Iterable[CallPiece]) -> None:
        """Where nothing but its name tells a call from text, the name must be known."""
        if not self._format.is_bare:
            return
        for piece in pieces:
            if isinstance(piece, CallStart) and piece.name not in self._tools:
                raise NotACallError("nobody offered a tool of that name")

    def _give_up(self, segments: list[Segment]) -> bool:
        """What was read since the marker is no call."""
        self.has_unfinished_call = self.has_unfinished_call or self._is_final
        segments.append(TextDelta(self._gap + self._opened_by))
        self._buffer = self._section
        self._at_start = self._after_marker = False
        close = self._format.layout.close_after(self._opened_by)
        self._state = _State.REFUSED if close else _State.TEXT
        return True

    def _step_refused(self, segments: list[Segment]) -> bool:
        close = self._format.layout.close_after(self._opened_by)
        at = self._buffer.find(close)
        if at < 0:
            end = len(self._buffer) if self._is_final else len(self._buffer) - len(close) + 1
        else:
            end = at + len(close)
            self._state = _State.TEXT
        if end > 0:
            segments.append(TextDelta(self._buffer[:end]))
            self._buffer = self._buffer[end:]
        return at >= 0
