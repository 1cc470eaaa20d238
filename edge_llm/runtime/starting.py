"""Chooses tiers for one request and sets them to work; `flow` drives what was started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence

from edge_llm.cloud.deadline import Deadline
from edge_llm.errors import (
    ContextLengthExceededError,
    DeadlineExceededError,
    EdgeLLMError,
    NoRouteError,
    RuntimeClosedError,
)
from edge_llm.routing.base import RoutingDecision
from edge_llm.runtime.assess import Assessor, create_assessor
from edge_llm.runtime.attempt import LocalAttempt, TierAttempt
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.cloud_attempt import CloudTierAttempt
from edge_llm.runtime.limits import reserve_s
from edge_llm.runtime.model_router import estimate_hardness
from edge_llm.runtime.outgoing import NOTHING_MORE, Extra
from edge_llm.runtime.outlet import Draft
from edge_llm.runtime.record import Ledger, no_route
from edge_llm.runtime.structured.verify import expected
from edge_llm.runtime.summarise import summarise_oldest
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tiers import LocalTier, RemoteTier, Tier
from edge_llm.runtime.watch import DraftWatch, Standards
from edge_llm.types import Answer

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def in_time(request: ChatRequest) -> AsyncGenerator[None]:
    """Bounds what is awaited inside by the request's deadline.

    Raises:
        DeadlineExceededError: it has passed.
    """
    limit = asyncio.timeout(request.time_left_s)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceededError("the deadline of the request has passed") from None


class Starter:
    """Knows which tiers were tried; belongs to one flow."""

    def __init__(self, tiers: TierSet, request: ChatRequest, ledger: Ledger) -> None:
        self._tiers = tiers
        self._request = request
        self._ledger = ledger
        self.book = tiers.book(request)
        """What is known of the tiers for the request."""
        self.standards = standards(tiers, request)
        """What drafts must live up to."""
        self._tried: set[str] = set()

    async def first(self) -> Tier:
        """The tier that the rules choose before anything is generated.

        Raises:
            RequestError: the request is malformed, or fits nowhere.
            NoRouteError: no tier may have it.
        """
        everything = self._tiers.tiers
        async with in_time(self._request):
            await asyncio.to_thread(self.standards.expected.prepare)
        if self._request.overflow == "summarise":
            await self._summarise()
        if not self._tiers.escalates:
            return everything[0]
        decision = await self._route(everything)
        if self._asks_model(decision):
            decision = await self._route(everything, await self._hardness(decision))
        self._ledger.note_route(decision)
        if decision.tier is None:
            form = self._request.form
            why = None if form is None else await asyncio.to_thread(form.objection)
            raise no_route(decision, self._request.max_tokens or 1) from why
        return self._tiers.tier(decision.tier)

    async def _summarise(self) -> None:
        """Sum up the oldest turns for the first local tier, where the whole does not fit there."""
        tier = next(self._tiers.local_tiers, None)
        if tier is None:
            return
        async with in_time(self._request):
            try:
                await asyncio.to_thread(self.book.prepared, tier)
            except ContextLengthExceededError:
                model = tier.model
                room = model.facts.max_model_len - (self._request.max_tokens or 1)
                shorter = await summarise_oldest(model, self._request.messages, room)
                if shorter is not None:
                    with contextlib.suppress(ContextLengthExceededError):
                        await asyncio.to_thread(self.book.replace, tier, shorter)

    async def better(self, attempt: TierAttempt) -> Tier | None:
        """The next tier up that no rule keeps from the request; None when there is none."""
        names = [tier.name for tier in self._tiers.tiers]
        after = self._tiers.tiers[names.index(attempt.tier) + 1 :]
        decision = await self._route_untried(after)
        if decision is None or decision.tier is None or decision.is_second_best:
            return None
        return self._tiers.tier(decision.tier)

    async def any(self) -> Tier | None:
        """Any tier that was not tried and can serve, were it second best."""
        decision = await self._route_untried(self._tiers.tiers)
        if decision is None or decision.tier is None:
            return None
        return self._tiers.tier(decision.tier)

    async def _route_untried(self, tiers: Sequence[Tier]) -> RoutingDecision | None:
        left = [tier for tier in tiers if tier.name not in self._tried]
        return await self._route(left) if left else None

    async def _route(self, tiers: Sequence[Tier], hardness: float | None = None) -> RoutingDecision:
        async with in_time(self._request):
            return await asyncio.to_thread(
                self._tiers.route, self._request, self.book, tiers, hardness
            )

    def _asks_model(self, decision: RoutingDecision) -> bool:
        wanted = any(policy.name == "model_router" for policy in self._tiers.chain.policies)
        if not wanted or decision.tier is None:
            return False
        return isinstance(self._tiers.tier(decision.tier), LocalTier)

    async def _hardness(self, decision: RoutingDecision) -> float | None:
        tier = self._tiers.tier(decision.tier or "")
        if not isinstance(tier, LocalTier):
            return None
        try:
            async with in_time(self._request):
                return await estimate_hardness(tier.model, self._request.last_user_text)
        except DeadlineExceededError:
            raise
        except EdgeLLMError as error:  # an opinion that cannot be had keeps nobody waiting
            logger.warning("the model router could not be asked: %s", error.code)
            return None

    async def start(
        self, tier: Tier, *, extra: Extra = NOTHING_MORE, draft: Draft | None = None
    ) -> TierAttempt:
        """Set a tier to work.

        Raises:
            EdgeLLMError: the request cannot be put to it.
        """
        self._tried.add(tier.name)
        if isinstance(tier, LocalTier):
            attempt: TierAttempt = await self._start_local(tier)
        else:
            attempt = self.ask(tier, extra, draft)
        if not self._tiers.escalates:
            attempt.draft.is_free = True
        return attempt

    def ask(
        self, tier: RemoteTier, extra: Extra = NOTHING_MORE, draft: Draft | None = None
    ) -> CloudTierAttempt:
        """Set endpoints to work, at once."""
        door = self._tiers.door
        if door is None:
            raise NoRouteError("this runtime has no door to the network")
        tokens = self.book.known_count()
        attempt = CloudTierAttempt(
            tier.name,
            tier.cloud,
            lambda: door.outgoing(tier.cloud, self._request, tokens, extra),
            self._cloud_deadline(tier),
            draft,
        )
        self._ledger.add(attempt)
        self._tiers.live.add(attempt)
        if self._tiers.is_closed.is_set():
            raise RuntimeClosedError("this runtime is closed", hint="load the model again")
        attempt.start()
        return attempt

    def forget(self) -> None:
        """The request is over: nothing of it is under way any more."""
        self._tiers.live.difference_update(
            one for one in self._ledger.attempts if isinstance(one, CloudTierAttempt)
        )

    def race(self, tier: RemoteTier) -> CloudTierAttempt:
        """Set endpoints to work beside another tier."""
        self._tried.add(tier.name)
        return self.ask(tier)

    async def _start_local(self, tier: LocalTier) -> LocalAttempt:
        async with in_time(self._request):
            prepared = await asyncio.to_thread(self.book.prepared, tier)
        attempt = LocalAttempt(
            tier.name,
            tier.model,
            prepared.request,
            opens_thinking=prepared.fitted.prompt.opens_thinking,
            num_logprobs=self._request.top_logprobs,
            tools=self._request.calls.by_name,
        )
        attempt.dropped_messages = prepared.fitted.dropped_messages
        attempt.compressed_tokens = prepared.compressed_tokens
        self._ledger.add(attempt)
        return attempt

    def _cloud_deadline(self, tier: RemoteTier) -> Deadline:
        """When the cloud must be done, so that a local answer can still be given instead."""
        left_s = self._request.time_left_s
        if left_s is None:
            # An endpoint may ask to be left alone for an hour; nobody waits for it so long.
            limits = [client.endpoint.timeouts.total_s for client in tier.cloud.clients]
            return Deadline.after(max(limits))
        local = [tier.name for tier in self._tiers.local_tiers]
        if not local:
            return Deadline.after(left_s)
        known = self._tiers.times.expected_s.get(local[0])
        return Deadline.after(left_s - reserve_s(left_s, known, self._tiers.settings.local_share))

    async def verify(self, attempt: TierAttempt) -> None:
        """Look at a whole answer for what is wrong with its form or its calls."""
        expected = self.standards.expected
        said = attempt.transcript
        if expected.judges_words or said.calls or said.has_cut_call:
            await asyncio.to_thread(self.verify_now, attempt)

    def verify_now(self, attempt: TierAttempt) -> None:
        """As `verify`; blocks for seconds at most."""
        said = attempt.transcript
        attempt.violation = self.standards.expected.violation(
            said.text, said.calls, said.finish_reason, has_cut_call=said.has_cut_call
        )

    def observe(self, answered: TierAttempt, answer: Answer) -> None:
        """Learn from an answer how long its tier takes."""
        if not answer.degraded:
            self._tiers.times.observe(answered.tier, answered.latency_s)

    def watch(self, attempt: TierAttempt) -> DraftWatch:
        """What judges the attempt's draft."""
        tier = self._tiers.tier(attempt.tier)
        assessor = self._assessor(tier) if isinstance(tier, LocalTier) else None
        text = self._request.last_user_text
        return DraftWatch(self.standards, assessor, lambda: self._request.time_left_s, text)

    def _assessor(self, tier: LocalTier) -> Assessor | None:
        """What drafts of the tier are judged by; None where nobody asks."""
        is_measured = (
            "confidence" in self.standards.rules
            or tier.calibration.calibration is not None
            or tier.model.facts.unsure_token_id is not None
        )
        arm = self._ledger.arm
        threshold = self._tiers.settings.threshold
        if arm is not None and arm.threshold is not None:
            threshold = arm.threshold
        return create_assessor(tier, self._tiers.confidence, threshold) if is_measured else None


def standards(tiers: TierSet, request: ChatRequest) -> Standards:
    """What drafts must live up to; that of a single tier is not replaced, only measured."""
    return Standards(
        rules=tiers.settings.deferral if tiers.escalates else ("validator",),
        validator=request.validator,
        expected=expected(request.form, request.calls),
        max_tokens=request.max_tokens,
    )
