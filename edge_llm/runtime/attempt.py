"""One tier at work on one answer, wherever its model runs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque

from edge_llm.engine.host import ModelFacts
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import EdgeLLMError
from edge_llm.prompt.parse import OutputParser, ReasoningDelta
from edge_llm.routing.base import Refusal
from edge_llm.runtime.local import LocalModel, LocalRun
from edge_llm.runtime.outlet import Draft
from edge_llm.runtime.transcript import Piece, Said, Transcript, token_logprobs
from edge_llm.types import Attempt, TokenLogprob, Usage


class TierAttempt(ABC):
    """What one tier does for one request. Belongs to one task, but for `close`."""

    route: str
    """`local` or `cloud`."""

    def __init__(self, tier: str, model: str, draft: Draft | None = None) -> None:
        self.tier = tier
        self.model = model
        self.draft = draft or Draft()
        self.transcript = Transcript()
        self.started_s = time.perf_counter()
        self.first_token_s: float | None = None
        self.ended_s: float | None = None
        self.completion_tokens = 0
        self.dropped_messages = 0
        """Of the conversation, left out so that it fitted."""
        self.compressed_tokens = 0
        """How much shorter the conversation was made so that it fitted."""
        self.refusal: Refusal | None = None
        """Why it was given up, or would have been had there been another tier."""
        self.error: EdgeLLMError | None = None
        """What ended it."""
        self._unheard: deque[Piece] = deque()

    @property
    def is_over(self) -> bool:
        """Whether all of its answer is here."""
        return self.transcript.finish_reason is not None

    async def next(self) -> Piece:
        """What it says next; may be cancelled, and asked again, without losing any of it.

        Raises:
            EdgeLLMError: it cannot answer.
        """
        if self._unheard:
            return self._unheard.popleft()
        piece = await self._next()
        if self.first_token_s is None and piece.num_tokens:
            self.first_token_s = time.perf_counter()
        self.completion_tokens += piece.num_tokens
        if piece.finish_reason is not None:
            self.ended_s = time.perf_counter()
        return piece

    @property
    def has_unheard(self) -> bool:
        """Whether something was put back."""
        return bool(self._unheard)

    def put_back(self, piece: Piece) -> None:
        """Say this again when asked: whoever asked could not listen."""
        self._unheard.append(piece)

    def records(self, outcome: str) -> list[Attempt]:
        """What to write down of it, now that nothing more is wanted of it."""
        return [self.record(outcome)]

    @property
    def latency_s(self) -> float:
        """Seconds from its start to its end, or to now."""
        ended_s = time.perf_counter() if self.ended_s is None else self.ended_s
        return ended_s - self.started_s

    def record(self, outcome: str) -> Attempt:
        """One line about it."""
        usage = self.usage
        return Attempt(
            tier=self.tier,
            route=self.route,
            model=self.model,
            outcome=outcome if self.error is None else self.error.code,
            reason=None if self.refusal is None else str(self.refusal.reason),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            latency_s=self.latency_s,
        )

    @property
    @abstractmethod
    def usage(self) -> Usage:
        """Tokens so far."""

    @property
    def prompt_tokens(self) -> int | None:
        """Of the prompt, begun or not; None where nobody counted them."""
        return None

    @property
    def cost_usd(self) -> float:
        """US dollars so far, as far as they are known."""
        return 0.0

    @abstractmethod
    async def _next(self) -> Piece:
        """See `next`."""

    def park(self) -> None:  # noqa: B027 — what cannot be set aside just goes on
        """Set it aside without losing what it has computed."""

    def resume(self) -> None:  # noqa: B027 — see `park`
        """Go on with it."""

    @abstractmethod
    def stop(self) -> None:
        """End its work, where it is not over; does not wait."""


class LocalAttempt(TierAttempt):
    """A model of this program's own engine at work."""

    route = "local"

    def __init__(
        self,
        tier: str,
        model: LocalModel,
        request: EngineRequest,
        *,
        opens_thinking: bool = False,
        num_logprobs: int | None = None,
    ) -> None:
        super().__init__(tier, model.facts.name)
        self._model = model
        self._facts: ModelFacts = model.facts
        self._request = request
        self._num_logprobs = num_logprobs
        self._parser = OutputParser(starts_in_thinking=opens_thinking)
        self._thinks = opens_thinking
        self._has_begun = False
        self._run: LocalRun | None = None
        self._cached_tokens = 0

    @property
    def prompt_tokens(self) -> int:
        """Of the prompt, begun or not."""
        return len(self._request.token_ids)

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        prompt = self.prompt_tokens if self._run else 0
        return Usage(prompt, self.completion_tokens, self._cached_tokens)

    async def _next(self) -> Piece:
        if self._run is None:
            self._run = await self._model.start(self._request)
        return self._piece(await self._run.next())

    def _piece(self, event: SequenceEvent) -> Piece:
        self._cached_tokens = event.num_cached_tokens or self._cached_tokens
        said: list[Said] = list(self._parser.add(event.text))
        if event.finish_reason is not None:
            said += self._parser.finish()
        is_answer = self._is_answer(event, said)
        return Piece(
            said=tuple(said),
            num_tokens=len(event.token_ids),
            num_answer_tokens=len(event.token_ids) if is_answer else 0,
            statistics=event.statistics if is_answer else (),
            text=event.text if is_answer else "",
            logprobs=self._logprobs(event),
            finish_reason=event.finish_reason,
        )

    def _is_answer(self, event: SequenceEvent, said: list[Said]) -> bool:
        """Whether the event's tokens belong to the answer: no thoughts, no space before it."""
        was_thinking, self._thinks = self._thinks, self._parser.is_reasoning
        if was_thinking or self._thinks or any(isinstance(s, ReasoningDelta) for s in said):
            return False
        if not self._has_begun and event.text.isspace():
            return False
        self._has_begun = True
        return True

    def _logprobs(self, event: SequenceEvent) -> tuple[TokenLogprob, ...] | None:
        if self._num_logprobs is None or not event.statistics:
            return None
        found = token_logprobs(event, self._num_logprobs, hidden=self._facts.eog_ids)
        return tuple(found)

    def park(self) -> None:
        """Set it aside; a few tokens that were under way may still come."""
        if self._run is not None:
            self._run.park()

    def resume(self) -> None:
        """Go on with it."""
        if self._run is not None:
            self._run.resume()

    def stop(self) -> None:
        """End it within one step of the engine; does not wait."""
        if self._run is not None:
            self._run.abort()
