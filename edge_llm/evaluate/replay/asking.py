"""Asks one tier one question, whatever its draft looks like, and writes down what there was to see.

Through the parts of the runtime that answer people: the same prompt, the same door to the cloud,
the same features at the same checkpoints. Only that nothing is given up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_llm.confidence.checkpoints import END, Checkpoint, passed
from edge_llm.confidence.features import FEATURE_NAMES
from edge_llm.config import EdgeConfig
from edge_llm.errors import (
    CloudContentFilterError,
    CloudContextLengthError,
    EdgeLLMError,
    RequestError,
)
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.recording import Look, Said
from edge_llm.runtime.attempt import LocalAttempt, TierAttempt
from edge_llm.runtime.chat_request import ChatRequest, parse_request
from edge_llm.runtime.outgoing import NOTHING_MORE, Extra
from edge_llm.runtime.record import Ledger, no_route
from edge_llm.runtime.starting import Starter, standards
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tiers import LocalTier, RemoteTier, Tier, TierBook
from edge_llm.runtime.watch import DraftWatch

FINAL = (RequestError, CloudContentFilterError, CloudContextLengthError)
"""Errors that the same question would meet again: they are this tier's answer to it."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How questions are asked, beside what they bring themselves."""

    max_tokens: int = 512
    temperature: float | None = None
    """None takes each model's own, as people's requests do."""
    seed: int = 0

    def options(self, example: Example) -> dict[str, Any]:
        """Options of the request for one question."""
        options = {"max_tokens": self.max_tokens, "seed": self.seed, **example.options}
        return options if self.temperature is None else {"temperature": self.temperature, **options}


class Asker:
    """Asks the tiers of one runtime; belongs to one event loop."""

    def __init__(self, config: EdgeConfig, tiers: TierSet, manner: Manner) -> None:
        self._config = config
        self._tiers = tiers
        self._manner = manner

    async def ask(self, tier: Tier, example: Example, extra: Extra = NOTHING_MORE) -> Said:
        """The tier's answer; an error that asking again would not mend is one, too.

        Raises:
            EdgeLLMError: it cannot be asked now.
        """
        request = parse_request(example.messages, self._manner.options(example), self._config)
        try:
            if isinstance(tier, LocalTier):
                return await self._ask_local(tier, request)
            return await self._ask_remote(tier, request, extra)
        except FINAL as error:
            return Said(error=error.code)

    async def _ask_local(self, tier: LocalTier, request: ChatRequest) -> Said:
        started_s = time.perf_counter()
        book = TierBook(request, {}, measures=True)
        prepared = await asyncio.to_thread(book.prepared, tier)
        wants = self._config.confidence.self_certainty
        attempt = LocalAttempt(
            tier.name,
            tier.model,
            replace(prepared.request, self_certainty=wants),
            opens_thinking=prepared.fitted.prompt.opens_thinking,
        )
        follower = _Follower(DraftWatch(standards(self._tiers, request), None), started_s)
        try:
            said = await _collect(attempt, started_s, follower.follow)
        finally:
            attempt.stop()
        return replace(said, looks=follower.looks)

    async def _ask_remote(self, tier: RemoteTier, request: ChatRequest, extra: Extra) -> Said:
        started_s = time.perf_counter()
        book = self._tiers.book(request)
        decision = await asyncio.to_thread(self._tiers.route, request, book, [tier])
        if decision.tier is None:
            raise no_route(decision, request.max_tokens or 1)
        ledger = Ledger(started_s)
        starter = Starter(self._tiers, request, ledger)
        attempt = starter.ask(tier, extra)
        try:
            return await _collect(attempt, started_s)
        finally:
            attempt.stop()
            await ledger.settle()
            starter.forget()


class _Follower:
    """Writes down the features of a draft at every checkpoint that it passes."""

    def __init__(self, watch: DraftWatch, started_s: float) -> None:
        self._watch = watch
        self._started_s = started_s
        self._num_tokens = 0
        self.looks: dict[Checkpoint, Look] = {}

    def follow(self, attempt: TierAttempt, piece: Any) -> None:
        """Take in what the draft said; the piece is in the transcript already."""
        before, self._num_tokens = self._num_tokens, self._num_tokens + piece.num_answer_tokens
        self._watch.look(attempt, piece)
        for checkpoint in (passed(before, self._num_tokens), END if attempt.is_over else None):
            if checkpoint is not None:
                self.looks[checkpoint] = self._look(attempt)

    def _look(self, attempt: TierAttempt) -> Look:
        values = zip(FEATURE_NAMES, self._watch.features(attempt), strict=True)
        known = {name: float(value) for name, value in values if np.isfinite(value)}
        return Look(known, self._num_tokens, time.perf_counter() - self._started_s)


async def _collect(
    attempt: TierAttempt,
    started_s: float,
    follow: Callable[[TierAttempt, Any], None] = lambda attempt, piece: None,
) -> Said:
    """All of an answer."""
    while not attempt.is_over:
        piece = await attempt.next()
        attempt.transcript.add(piece)
        follow(attempt, piece)
    transcript, usage, first_s = attempt.transcript, attempt.usage, attempt.first_token_s
    return Said(
        text=transcript.text,
        calls=tuple((call.name, call.arguments) for call in transcript.calls),
        finish_reason=transcript.finish_reason,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=attempt.cost_usd,
        ttft_s=None if first_s is None else first_s - started_s,
        e2e_s=time.perf_counter() - started_s,
    )


def is_lasting(error: EdgeLLMError) -> bool:
    """Whether every other question would meet the error, too: nothing is gained by going on."""
    return not error.retryable
