"""What one request holds on its way through the tiers: drafts, watches, the record; and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_llm.errors import RuntimeClosedError
from edge_llm.routing.base import EscalationReason, Refusal
from edge_llm.runtime.afterwards import Afterwards, Given
from edge_llm.runtime.arms import assign_arm
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.cloud_attempt import CloudTierAttempt
from edge_llm.runtime.hold import Hold
from edge_llm.runtime.judging import refinement
from edge_llm.runtime.outgoing import NOTHING_MORE, Extra
from edge_llm.runtime.outlet import Outlet
from edge_llm.runtime.record import Ledger
from edge_llm.runtime.second_look import SecondLook
from edge_llm.runtime.starting import Starter
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tiers import LocalTier, Tier
from edge_llm.runtime.watch import DraftWatch
from edge_llm.types import Answer, Chunk

DOUBTS = (EscalationReason.LOW_CONFIDENCE, EscalationReason.UNSURE)
"""Reasons that are a guess about the answer, and not a fault of it."""


class RequestState:
    """Belongs to one request; `flow` moves it along."""

    def __init__(
        self,
        tiers: TierSet,
        request: ChatRequest,
        started_s: float,
        afterwards: Afterwards | None = None,
    ) -> None:
        """`afterwards` is told of the answer once it is given."""
        self._ledger = Ledger(started_s)
        self._ledger.arm = arm = assign_arm(tiers.confidence.arms, self._ledger.trace_id)
        if arm is not None and arm.on_doubt is not None:
            request = replace(request, on_doubt=arm.on_doubt)
        self._tiers = tiers
        self._request = request
        self._afterwards = afterwards
        self._settings = tiers.settings
        self._starter = Starter(tiers, request, self._ledger)
        self._second = SecondLook(tiers, request, self._starter.book, self._ledger)
        self._outlet = Outlet(_hold(request), is_strict=request.wants_json)
        self._watches: dict[TierAttempt, DraftWatch] = {}
        self._current: TierAttempt | None = None
        self._rival: CloudTierAttempt | None = None
        """What races with the current attempt."""
        self._parked: list[TierAttempt] = []
        """Drafts that were given up and may be needed again, the newest last."""
        self._interrupted: tuple[TierAttempt, list[Chunk]] | None = None
        """A draft that another tier goes on with, and what was held of it."""
        self._is_done = False

    def _park(
        self, attempt: TierAttempt, chunks: Sequence[Chunk], outcome: str = "deferred"
    ) -> None:
        attempt.draft.held += chunks
        attempt.park()
        self._ledger.note_outcome(attempt, outcome)
        self._parked.append(attempt)

    def _is_awaited(self, attempt: TierAttempt, refusal: Refusal) -> bool:
        """Whether the draft is wanted whole before another tier looks at it."""
        if refusal.reason not in DOUBTS or attempt.is_over:
            return False
        looks = self._request.on_doubt in ("verify", "draft_and_refine")
        return looks or self._second.is_awaited(attempt, self._watches[attempt].score)

    def _wants_verdict(self, refusal: Refusal) -> bool:
        return self._request.on_doubt == "verify" and refusal.reason in DOUBTS

    def _extra(self, attempt: TierAttempt, refusal: Refusal) -> Extra:
        text = attempt.transcript.text
        if self._request.on_doubt != "draft_and_refine" or not text.strip():
            return NOTHING_MORE
        return refinement(text) if refusal.reason in DOUBTS else NOTHING_MORE

    async def _begin(
        self, tier: Tier, extra: Extra = NOTHING_MORE, continued: TierAttempt | None = None
    ) -> None:
        """Make a tier the current one."""
        draft = None if continued is None else continued.draft
        attempt = await self._starter.start(tier, extra=extra, draft=draft)
        self._watches[attempt] = self._starter.watch(attempt)
        self._current = attempt

    def _drop_rival(self) -> None:
        if self._rival is not None:
            self._ledger.note_outcome(self._rival, "lost")
            self._rival.stop()
            self._rival = None

    async def _last_chunk(self) -> Chunk:
        answered = self._working
        self._ledger.note_outcome(answered, "answered")
        self._drop_rival()
        await self._ledger.settle()
        score = self._watches[answered].score
        notes = (watch.note for watch in self._watches.values() if watch.note)
        answer = self._ledger.answer(answered, self._outlet.text, score, next(notes, None))
        self._starter.observe(answered, answer)
        return Chunk(answer=answer, logprobs=answered.transcript.take_logprobs())

    def _end(self, answered: TierAttempt, last: Chunk) -> None:
        """Begin what is done behind an answer; returns at once."""
        if last.answer is None:
            return
        self._learn(last.answer)
        if self._afterwards is None:
            return
        watch, arm = self._watches[answered], self._ledger.arm
        self._afterwards.begin(
            Given(
                self._tiers,
                self._request,
                answered,
                last.answer,
                propensity=None if arm is None else arm.propensity,
                features=watch.known_features(answered),
                first_score=watch.first_score,
            )
        )

    def _learn(self, answer: Answer) -> None:
        """Tell calibrations what drafts scored; where there is a shadow, it is told later."""
        if self._afterwards is not None and self._afterwards.has_shadow(answer):
            return
        for attempt, watch in self._watches.items():
            tier = self._tiers.tier(attempt.tier)
            if isinstance(tier, LocalTier) and tier.adapting is not None:
                tier.adapting.note(watch.first_score)

    async def _stop_all(self) -> None:
        for attempt in self._ledger.attempts:
            attempt.stop()
        self._starter.forget()
        await self._ledger.settle()

    @property
    def _working(self) -> TierAttempt:
        if self._current is None:
            raise RuntimeClosedError("the request was not begun")
        return self._current


def _hold(request: ChatRequest) -> Hold:
    """How long drafts are held: to the end, where only a whole one can be judged."""
    if request.validator is not None or request.on_doubt == "verify":
        return Hold("full")
    return request.hold
