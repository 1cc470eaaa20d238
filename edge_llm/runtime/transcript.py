"""What one tier has said so far: segments in, chunks for the caller out, everything kept."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from edge_llm.engine.request import SequenceEvent
from edge_llm.prompt.call_formats import ParsedToolCall
from edge_llm.prompt.parse import (
    ReasoningDelta,
    Segment,
    TextDelta,
    spoken_summary,
)
from edge_llm.types import Chunk, FinishReason, TokenLogprob, TokenStatistics, ToolCall

Said: TypeAlias = Segment | ToolCall
"""A piece of an answer; a `ToolCall` brings its own id."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a tier said in one step."""

    said: tuple[Said, ...] = ()
    num_tokens: int = 0
    num_answer_tokens: int = 0
    """Of them, those that are no thoughts."""
    statistics: tuple[TokenStatistics | None, ...] = ()
    """Of the answer's tokens, where they were asked for; None for forced ones."""
    text: str = field(default="", repr=False)
    """What the answer's tokens spell, calls and their marks included."""
    logprobs: tuple[TokenLogprob, ...] | None = None
    """None where nobody asked."""
    finish_reason: FinishReason | None = None
    """On the last piece, how the answer ended."""


class Transcript:
    """Collects one tier's answer; the unstreamed answer is the collected stream."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[TokenLogprob] | None = None
        self._num_logprobs_shown = 0
        self.calls: list[ToolCall] = []
        self.finish_reason: FinishReason | None = None
        """How it ended; None while it goes on."""

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str | None:
        """All thoughts so far; None without any."""
        return "".join(self._reasoning) or None

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """Of all tokens so far; None where nobody asked."""
        return None if self._logprobs is None else tuple(self._logprobs)

    def add(self, piece: Piece) -> list[Chunk]:
        """What the piece means to a caller, in order."""
        if piece.logprobs is not None:
            self._logprobs = self._logprobs or []
            self._logprobs += piece.logprobs
        chunks = [self._chunk(one) for one in piece.said]
        if piece.finish_reason is not None:
            chunks += self._finish(piece.finish_reason)
        return chunks

    def take_logprobs(self) -> tuple[TokenLogprob, ...]:
        """Those that no chunk has carried yet."""
        new = tuple((self._logprobs or [])[self._num_logprobs_shown :])
        self._num_logprobs_shown += len(new)
        return new

    def _chunk(self, said: Said) -> Chunk:
        chunk = self._collect(said)
        return replace(chunk, logprobs=self.take_logprobs()) if self._logprobs else chunk

    def _collect(self, said: Said) -> Chunk:
        match said:
            case TextDelta(text):
                self._text.append(text)
                return Chunk(text=text)
            case ReasoningDelta(text):
                self._reasoning.append(text)
                return Chunk(reasoning=text)
            case ParsedToolCall(name, arguments):
                return self._collect(ToolCall(f"call_{uuid.uuid4().hex[:24]}", name, arguments))
            case ToolCall():
                self.calls.append(said)
                return Chunk(tool_call=said)

    def _finish(self, finish_reason: FinishReason) -> Iterable[Chunk]:
        if self.calls and not self.text.strip():
            # A voice assistant has to say something about what was decided.
            yield self._chunk(TextDelta(spoken_summary(self.calls)))
        if self.calls and finish_reason == "stop":
            finish_reason = "tool_calls"
        self.finish_reason = finish_reason


def token_logprobs(
    event: SequenceEvent, num_top: int, *, hidden: Set[int]
) -> Iterator[TokenLogprob]:
    """What the event's statistics say of its tokens, but for `hidden` ones, which end answers.

    Each with the `num_top` likeliest in its place, of which the statistics may know more.
    """
    for token_id, statistics in zip(event.token_ids, event.statistics, strict=True):
        if token_id not in hidden:
            yield _token_logprob(token_id, statistics, num_top, event)


def _token_logprob(
    token_id: int, statistics: TokenStatistics | None, num_top: int, event: SequenceEvent
) -> TokenLogprob:
    def spell(one_id: int, logprob: float | None) -> TokenLogprob:
        raw = event.spellings[one_id]
        return TokenLogprob(raw.decode("utf-8", "replace"), raw, logprob)

    if statistics is None:
        return spell(token_id, None)
    top = zip(statistics.top_ids[:num_top], statistics.top_logprobs[:num_top], strict=True)
    return replace(
        spell(token_id, statistics.logprob),
        top_logprobs=tuple(spell(top_id, logprob) for top_id, logprob in top),
    )
