"""One more look at a whole answer that is neither surely good nor surely bad; bounded throughout.

Each thing that is asked of a model is an attempt of its own in the record, so that its tokens and
time count.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import replace

from edge_llm.confidence.agreement import Said, mean_agreement
from edge_llm.confidence.base import DraftState, Score
from edge_llm.config import ConfidenceConfig
from edge_llm.engine.request import EngineRequest
from edge_llm.errors import EdgeLLMError
from edge_llm.runtime.attempt import LocalAttempt, TierAttempt
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.record import Ledger
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tiers import LocalTier, TierBook
from edge_llm.types import MAX_TOP_LOGPROBS, SamplingParams, TokenLogprob

logger = logging.getLogger(__name__)

LOOKED = "looked"
"""The outcome of such an attempt in the record."""

SAMPLE_TEMPERATURE = 0.8
"""Of further samples: at 0 they would all be the answer again."""

_TRUE, _FALSE = "A", "B"

_QUESTION = """\
Is your last answer (A) true and complete, or (B) not? Reply with one letter."""


class SecondLook:
    """Belongs to one flow."""

    def __init__(
        self, tiers: TierSet, request: ChatRequest, book: TierBook, ledger: Ledger
    ) -> None:
        self._tiers = tiers
        self._settings: ConfidenceConfig = tiers.confidence
        self._request = request
        self._book = book
        self._ledger = ledger

    def is_wanted(self, attempt: TierAttempt, score: Score | None) -> bool:
        """Whether the whole draft is doubtful enough."""
        if self._settings.second_look == "off" or not isinstance(attempt, LocalAttempt):
            return False
        if score is None or not math.isfinite(score.threshold):
            return False
        return abs(score.value - score.threshold) <= self._settings.second_look_band

    def is_awaited(self, attempt: TierAttempt, score: Score | None) -> bool:
        """Whether a draft is to be finished for it; a certified early threshold needs none."""
        is_certain = score is not None and score.is_calibrated
        return not is_certain and self.is_wanted(attempt, score)

    async def look(self, attempt: TierAttempt, state: DraftState) -> DraftState | None:
        """What is known with the second look; None where it told nothing, or not in time."""
        tier = self._tiers.tier(attempt.tier)
        left_s = self._request.time_left_s
        limit_s = self._settings.second_look_s
        begun: list[LocalAttempt] = []
        try:
            async with asyncio.timeout(limit_s if left_s is None else min(limit_s, left_s / 2)):
                return await self._look(tier, attempt, state, begun)
        except (TimeoutError, EdgeLLMError) as error:
            # A second look is an opinion; the first stands where it cannot be had.
            logger.warning("no second look: %s", getattr(error, "code", "timeout"))
            return None
        finally:
            for one in begun:
                one.stop()
                self._ledger.note_outcome(one, LOOKED)

    async def _look(
        self, tier: object, attempt: TierAttempt, state: DraftState, begun: list[LocalAttempt]
    ) -> DraftState | None:
        if not isinstance(tier, LocalTier):
            return None
        answer = Said(attempt.transcript.text, tuple(attempt.transcript.calls))
        if self._settings.second_look == "p_true":
            found = await self._p_true(tier, answer, begun)
            return None if found is None else replace(state, p_true=found)
        if self._settings.second_look == "samples":
            share = mean_agreement(answer, await self._samples(tier, begun))
            return None if share is None else replace(state, sample_agreement=share)
        share = mean_agreement(answer, await self._other_model(tier, begun))
        return None if share is None else replace(state, model_agreement=share)

    async def _p_true(
        self, tier: LocalTier, answer: Said, begun: list[LocalAttempt]
    ) -> float | None:
        """P(true) against P(false); all but the question is in the prefix cache."""
        messages = [
            *self._request.messages,
            {"role": "assistant", "content": answer.text},
            {"role": "user", "content": _QUESTION},
        ]
        prompt = await asyncio.to_thread(tier.model.encode, messages, self._request.tools)
        request = EngineRequest(
            token_ids=tuple(prompt.token_ids),
            params=SamplingParams(temperature=0.0, max_tokens=1),
            statistics=MAX_TOP_LOGPROBS,
            spells=True,
        )
        asked = self._begin(tier, request, begun, num_logprobs=MAX_TOP_LOGPROBS)
        await _finish(asked)
        logprobs = asked.transcript.logprobs or ()
        return share_of_true(logprobs[0].top_logprobs) if logprobs else None

    async def _samples(self, tier: LocalTier, begun: list[LocalAttempt]) -> list[Said]:
        """Further answers to the same prompt, written at the same time."""
        prepared = await asyncio.to_thread(self._book.prepared, tier)
        count = self._settings.second_look_samples
        params = prepared.request.params
        each = min(params.max_tokens or 1, max(1, self._settings.second_look_tokens // count))
        runs = []
        for number in range(count):
            changed = replace(
                params,
                temperature=max(params.temperature, SAMPLE_TEMPERATURE),
                top_k=0 if params.top_k == 1 else params.top_k,
                seed=number if params.seed is None else params.seed + number + 1,
                max_tokens=each,
            )
            request = replace(prepared.request, params=changed, statistics=None, spells=False)
            opens = prepared.fitted.prompt.opens_thinking
            runs.append(self._begin(tier, request, begun, opens_thinking=opens))
        return await _answers(runs)

    async def _other_model(self, tier: LocalTier, begun: list[LocalAttempt]) -> list[Said]:
        """What the first other local tier says."""
        other = next((one for one in self._tiers.local_tiers if one.name != tier.name), None)
        if other is None:
            return []
        prepared = await asyncio.to_thread(self._book.prepared, other)
        params = prepared.request.params
        most = min(params.max_tokens or 1, self._settings.second_look_tokens)
        request = replace(
            prepared.request,
            params=replace(params, temperature=0.0, max_tokens=most),
            statistics=None,
            spells=False,
        )
        opens = prepared.fitted.prompt.opens_thinking
        return await _answers([self._begin(other, request, begun, opens_thinking=opens)])

    def _begin(
        self,
        tier: LocalTier,
        request: EngineRequest,
        begun: list[LocalAttempt],
        *,
        num_logprobs: int | None = None,
        opens_thinking: bool = False,
    ) -> LocalAttempt:
        attempt = LocalAttempt(
            tier.name,
            tier.model,
            request,
            opens_thinking=opens_thinking,
            num_logprobs=num_logprobs,
        )
        begun.append(attempt)
        self._ledger.add(attempt)
        return attempt


def share_of_true(likeliest: Sequence[TokenLogprob]) -> float | None:
    """P(A) / (P(A) + P(B)) among the likeliest tokens; None where neither is."""
    found = {_TRUE: 0.0, _FALSE: 0.0}
    for one in likeliest:
        label = one.token.strip(" (*\"'")
        if label in found and one.logprob is not None:
            found[label] += math.exp(one.logprob)
    total = sum(found.values())
    return found[_TRUE] / total if total else None


async def _answers(attempts: Sequence[LocalAttempt]) -> list[Said]:
    await asyncio.gather(*(_finish(one) for one in attempts))
    # One that was cut off says less than it would: it is no evidence against the answer.
    return [
        Said(one.transcript.text, tuple(one.transcript.calls))
        for one in attempts
        if one.transcript.finish_reason != "length"
    ]


async def _finish(attempt: LocalAttempt) -> None:
    while not attempt.is_over:
        attempt.transcript.add(await attempt.next())
