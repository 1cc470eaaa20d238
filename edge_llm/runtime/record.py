"""The record of one request: why it went where, what each tier did, and what it cost."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType

from edge_llm.confidence.base import Score
from edge_llm.errors import ContextLengthExceededError, EdgeLLMError, NoRouteError
from edge_llm.routing.base import EscalationReason, Refusal, RoutingDecision, TierRefusal
from edge_llm.runtime.arms import Arm
from edge_llm.runtime.assess import CALIBRATED
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.cloud_attempt import CloudTierAttempt
from edge_llm.types import Answer, Attempt, Timings, Usage

CLOSING_S = 0.05
"""How long the end of a cancelled request is waited for; its socket closes without us too."""

DEFERRAL = "deferral"
"""The `policy` of what was decided by a draft and not before it."""


class Ledger:
    """Collects what happens to one request and makes its answer."""

    def __init__(self, started_s: float) -> None:
        """`started_s` is the beginning, on `time.perf_counter`."""
        self._started_s = started_s
        self.attempts: list[TierAttempt] = []
        """All tiers that were set to work, in order."""
        self._outcomes: dict[TierAttempt, str] = {}
        self._moved: Refusal | None = None
        self._policy: str | None = None
        self._seen_s: float | None = None
        self._was_held = False
        self.is_degraded = False
        """Whether a better tier was wanted and could not be had."""
        self.trace_id = uuid.uuid4().hex
        self.arm: Arm | None = None
        """Which variant the request was given to; None: nothing is compared."""

    def note_route(self, decision: RoutingDecision) -> None:
        """Where the request goes first."""
        self.is_degraded = self.is_degraded or decision.is_second_best
        if decision.refusals:
            self.note_move(decision.refusals[0].refusal, decision.policy)

    def note_move(self, refusal: Refusal, policy: str | None = DEFERRAL) -> None:
        """Why the request left a tier; the first reason is the one that the record gives."""
        if self._moved is None:
            self._moved, self._policy = refusal, policy

    def add(self, attempt: TierAttempt) -> None:
        """A tier begins."""
        self.attempts.append(attempt)

    def note_outcome(self, attempt: TierAttempt, outcome: str) -> None:
        """What became of it, unless that is known already."""
        self._outcomes.setdefault(attempt, outcome)

    def note_seen(self, *, was_held: bool) -> None:
        """The caller sees something now."""
        if self._seen_s is None:
            self._seen_s = time.perf_counter()
            self._was_held = was_held

    async def settle(self) -> None:
        """Wait a moment for tiers elsewhere that were stopped, so that their cost is known."""
        tasks = [one.task for one in self.attempts if isinstance(one, CloudTierAttempt)]
        ending = [task for task in tasks if task is not None]
        if ending:
            await asyncio.wait(ending, timeout=CLOSING_S)

    def answer(
        self, attempt: TierAttempt, text: str, score: Score | None, note: str | None = None
    ) -> Answer:
        """The answer that `attempt` gave, with the record of all.

        `score` is the last of its own draft, `note` why no calibration judged drafts.
        """
        self._outcomes[attempt] = "answered"
        transcript = attempt.transcript
        moved, policy = self._moved, self._policy
        if moved is None and attempt.refusal is not None:
            moved, policy = attempt.refusal, DEFERRAL
        measured = moved if moved is not None and moved.score is not None else _as_refusal(score)
        return Answer(
            text=text,
            tool_calls=tuple(transcript.calls),
            finish_reason=transcript.finish_reason or "stop",
            model=attempt.model,
            route=attempt.route,
            tier=attempt.tier,
            reason=None if moved is None else str(moved.reason),
            policy=policy,
            score=measured.score,
            signal=measured.signal,
            threshold=measured.threshold,
            confidence=None if score is None else score.confidence,
            calibrated=measured.signal in CALIBRATED.values(),
            checkpoint=measured.checkpoint,
            uncalibrated_because=note,
            usage=self._usage(),
            timings=self._timings(attempt),
            cost_usd=sum(one.cost_usd for one in self.attempts),
            attempts=tuple(self._records()),
            degraded=self.is_degraded or attempt.refusal is not None,
            cached=False,
            trace_id=self.trace_id,
            arm=None if self.arm is None else self.arm.name,
            reasoning=transcript.reasoning,
            dropped_messages=attempt.dropped_messages,
            compressed_tokens=attempt.compressed_tokens,
            logprobs=transcript.logprobs,
            wasted_tokens=self._wasted(attempt),
            redactions=self._redactions(),
            hold_s=self._hold_s(attempt),
        )

    def _records(self) -> list[Attempt]:
        return [
            line
            for one in self.attempts
            for line in one.records(self._outcomes.get(one, "cancelled"))
        ]

    def _usage(self) -> Usage:
        used = [one.usage for one in self.attempts]
        return Usage(
            sum(usage.prompt_tokens for usage in used),
            sum(usage.completion_tokens for usage in used),
            sum(usage.cached_tokens for usage in used),
        )

    def _timings(self, attempt: TierAttempt) -> Timings:
        now = time.perf_counter()
        first = now if attempt.first_token_s is None else attempt.first_token_s
        later_tokens = attempt.completion_tokens - 1
        return Timings(
            ttft_s=first - self._started_s,
            tpot_s=(now - first) / later_tokens if later_tokens > 0 else None,
            e2e_s=now - self._started_s,
        )

    def _wasted(self, answered: TierAttempt) -> int:
        others = (one for one in self.attempts if one.draft is not answered.draft)
        return sum(one.completion_tokens for one in others if one.route == "local")

    def _redactions(self) -> MappingProxyType[str, int]:
        sent = [one.outgoing for one in self.attempts if isinstance(one, CloudTierAttempt)]
        most: Counter[str] = Counter()
        for outgoing in sent:
            # The same conversation sent twice has the same places in it.
            most |= Counter(outgoing.counts if outgoing is not None else {})
        return MappingProxyType(dict(most))

    def _hold_s(self, attempt: TierAttempt) -> float:
        if self._seen_s is None or attempt.first_token_s is None or not self._was_held:
            return 0.0
        return max(0.0, self._seen_s - attempt.first_token_s)


def _as_refusal(score: Score | None) -> Refusal:
    if score is None:
        return Refusal(EscalationReason.LOW_CONFIDENCE)
    return Refusal(
        EscalationReason.LOW_CONFIDENCE,
        score.value,
        score.threshold if math.isfinite(score.threshold) else None,
        score.signal,
        checkpoint=score.checkpoint,
    )


def no_route(decision: RoutingDecision, max_tokens: int) -> EdgeLLMError:
    """The error that tells a caller why no tier may have the request."""
    refusals = decision.refusals
    too_long = [r for r in refusals if r.refusal.reason is EscalationReason.CONTEXT_LENGTH]
    if too_long and len(too_long) == len(refusals):
        largest = max(too_long, key=lambda one: one.refusal.threshold or 0)
        return ContextLengthExceededError(
            prompt_tokens=int(largest.refusal.score or 0) - max_tokens,
            max_tokens=max_tokens,
            max_model_len=int(largest.refusal.threshold or 0),
        )
    return NoRouteError(
        "no tier may have this request: " + describe_refusals(refusals),
        hint="each tier is named with what keeps the request from it",
    )


def describe_refusals(refusals: Sequence[TierRefusal]) -> str:
    """One clause for each tier, such as `local: context_length (tokens 900 > 512)`."""
    return "; ".join(_describe(one) for one in refusals)


def _describe(one: TierRefusal) -> str:
    refusal = one.refusal
    clause = f"{one.tier}: {refusal.reason}"
    if refusal.score is None or refusal.threshold is None:
        return clause if refusal.signal is None else f"{clause} ({refusal.signal})"
    return f"{clause} ({refusal.signal} {refusal.score:g}, limit {refusal.threshold:g})"
