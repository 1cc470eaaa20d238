"""From the events of one sequence to chunks for the caller and the finished record."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Set
from dataclasses import replace

from edge_llm.engine.host import ModelFacts
from edge_llm.engine.request import SequenceEvent
from edge_llm.prompt.call_formats import ParsedToolCall
from edge_llm.prompt.encode import EncodedPrompt
from edge_llm.prompt.parse import (
    OutputParser,
    ReasoningDelta,
    Segment,
    TextDelta,
    spoken_summary,
)
from edge_llm.runtime.conversation import FittedPrompt
from edge_llm.types import (
    Answer,
    Chunk,
    FinishReason,
    Timings,
    TokenLogprob,
    TokenStatistics,
    ToolCall,
    Usage,
)


class AnswerBuilder:
    """Collects one answer while it is streamed; the unstreamed answer is the collected stream."""

    def __init__(self, facts: ModelFacts, fitted: FittedPrompt, started_s: float) -> None:
        self._facts = facts
        self._fitted = fitted
        self._started_s = started_s
        self._first_token_s: float | None = None
        self._parser = OutputParser(starts_in_thinking=self._prompt.opens_thinking)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []
        self._parsed_calls: list[ParsedToolCall] = []
        self._logprobs: list[TokenLogprob] | None = None
        self._num_logprobs_shown = 0
        self._completion_tokens = 0
        self._cached_tokens = 0

    @property
    def _prompt(self) -> EncodedPrompt:
        return self._fitted.prompt

    def add(self, event: SequenceEvent) -> Iterator[Chunk]:
        """What the caller may see after this event; ends with the answer after the last one."""
        if self._first_token_s is None:
            self._first_token_s = time.perf_counter()
        self._completion_tokens += len(event.token_ids)
        self._cached_tokens = event.num_cached_tokens or 0
        if event.statistics:
            self._logprobs = self._logprobs or []
            self._logprobs += token_logprobs(event, hidden=self._facts.eog_ids)
        segments = self._parser.add(event.text)
        if event.finish_reason is not None:
            segments = [*segments, *self._parser.finish()]
        for segment in segments:
            yield self._chunk(segment)
        if event.finish_reason is not None:
            yield from self._finish(event.finish_reason)

    def _chunk(self, segment: Segment) -> Chunk:
        chunk = self._collect(segment)
        return replace(chunk, logprobs=self._take_logprobs()) if self._logprobs else chunk

    def _take_logprobs(self) -> tuple[TokenLogprob, ...]:
        """Those that no chunk has carried yet."""
        new = tuple((self._logprobs or [])[self._num_logprobs_shown :])
        self._num_logprobs_shown += len(new)
        return new

    def _collect(self, segment: Segment) -> Chunk:
        match segment:
            case TextDelta(text):
                self._text.append(text)
                return Chunk(text=text)
            case ReasoningDelta(text):
                self._reasoning.append(text)
                return Chunk(reasoning=text)
            case ParsedToolCall(name, arguments):
                self._parsed_calls.append(segment)
                call = ToolCall(f"call_{uuid.uuid4().hex[:24]}", name, arguments)
                self._calls.append(call)
                return Chunk(tool_call=call)

    def _finish(self, finish_reason: FinishReason) -> Iterator[Chunk]:
        if self._calls and not "".join(self._text).strip():
            # A voice assistant has to say something about what was decided.
            yield self._chunk(TextDelta(spoken_summary(self._parsed_calls)))
        if self._calls and finish_reason == "stop":
            finish_reason = "tool_calls"
        yield Chunk(answer=self._answer(finish_reason), logprobs=self._take_logprobs())

    def _answer(self, finish_reason: FinishReason) -> Answer:
        return Answer(
            text="".join(self._text),
            tool_calls=tuple(self._calls),
            finish_reason=finish_reason,
            model=self._facts.name,
            route="local",
            reason=None,
            score=None,
            signal=None,
            threshold=None,
            confidence=None,
            calibrated=False,
            usage=Usage(len(self._prompt.token_ids), self._completion_tokens, self._cached_tokens),
            timings=self._timings(),
            cost_usd=0.0,
            attempts=1,
            degraded=False,
            cached=False,
            trace_id=uuid.uuid4().hex,
            reasoning="".join(self._reasoning) or None,
            dropped_messages=self._fitted.dropped_messages,
            logprobs=None if self._logprobs is None else tuple(self._logprobs),
        )

    def _timings(self) -> Timings:
        now = time.perf_counter()
        first = now if self._first_token_s is None else self._first_token_s
        later_tokens = self._completion_tokens - 1
        return Timings(
            ttft_s=first - self._started_s,
            tpot_s=(now - first) / later_tokens if later_tokens > 0 else None,
            e2e_s=now - self._started_s,
        )


def token_logprobs(event: SequenceEvent, *, hidden: Set[int]) -> Iterator[TokenLogprob]:
    """What the event's statistics say of its tokens, but for `hidden` ones, which end answers."""
    for token_id, statistics in zip(event.token_ids, event.statistics, strict=True):
        if token_id not in hidden:
            yield _token_logprob(token_id, statistics, event)


def _token_logprob(
    token_id: int, statistics: TokenStatistics | None, event: SequenceEvent
) -> TokenLogprob:
    def spell(one_id: int, logprob: float | None) -> TokenLogprob:
        raw = event.spellings[one_id]
        return TokenLogprob(raw.decode("utf-8", "replace"), raw, logprob)

    if statistics is None:
        return spell(token_id, None)
    top = zip(statistics.top_ids, statistics.top_logprobs, strict=True)
    return replace(
        spell(token_id, statistics.logprob),
        top_logprobs=tuple(spell(top_id, logprob) for top_id, logprob in top),
    )
