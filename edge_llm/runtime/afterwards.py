"""What is done once an answer has been given.

It is written down, and now and then checked against the cloud. Nothing of it delays an answer or
fails one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_llm.confidence.agreement import Said, agreement, loss
from edge_llm.errors import EdgeLLMError
from edge_llm.runtime.adapting import Adapting
from edge_llm.runtime.arms import share_of
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.cloud_attempt import CloudTierAttempt
from edge_llm.runtime.hold import NO_HOLD
from edge_llm.runtime.observations import ShadowOutcome, note_answer, note_shadow
from edge_llm.runtime.record import Ledger
from edge_llm.runtime.starting import Starter
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tiers import LocalTier, RemoteTier
from edge_llm.types import Answer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """An answer that was given, with what it came from."""

    tiers: TierSet
    request: ChatRequest
    answered: TierAttempt
    answer: Answer
    propensity: float | None
    """With which the request was given to its arm; None: nothing is compared."""
    features: Mapping[str, float]
    first_score: float | None
    """The calibrated score at the first token of the draft."""

    @property
    def adapting(self) -> Adapting | None:
        """What learns of the calibration that judged it; None where none did."""
        tier = self.tiers.tier(self.answered.tier)
        return tier.adapting if isinstance(tier, LocalTier) else None


@dataclass(slots=True, eq=False)
class Afterwards:
    """What runs behind the answers of one runtime; belongs to its event loops."""

    folder: Path | None = None
    """Where it is written down; None writes nothing."""
    shadow_share: float = 0.0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, given: Given) -> None:
        """Start what there is to do about an answer; returns at once."""
        if self.folder is None:
            return
        task = asyncio.get_running_loop().create_task(self._work(self.folder, given))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def finished(self) -> None:
        """Wait for what this event loop still does."""
        loop = asyncio.get_running_loop()
        own = [task for task in self.tasks if task.get_loop() is loop]
        await asyncio.gather(*own, return_exceptions=True)

    def has_shadow(self, answer: Answer) -> bool:
        """Whether the answer was kept, and its request is to go to the cloud as well."""
        is_kept = answer.route == "local" and answer.reason is None and not answer.degraded
        return is_kept and share_of(answer.trace_id, "shadow") < self.shadow_share

    async def _work(self, folder: Path, given: Given) -> None:
        try:
            await asyncio.to_thread(note_answer, folder, given.answer, given.propensity)
            if self.has_shadow(given.answer):
                shadow = await self._shadow(given)
                if shadow is not None:
                    await asyncio.to_thread(note_shadow, folder, shadow)
            for learned in given.tiers.learned:  # the draft of one may have led to another's answer
                await asyncio.to_thread(learned.save)
        except EdgeLLMError as error:
            # The answer is given; what is learned from it may be lost, and says so.
            logger.warning("an answer was not written down or checked: %s", error.code)

    async def _shadow(self, given: Given) -> ShadowOutcome | None:
        """What the next tier elsewhere says; None where privacy, budget or the network forbid it.

        Raises:
            EdgeLLMError: it could not be asked.
        """
        outcome = None
        try:
            outcome = await self._ask(given)
        finally:
            if given.adapting is not None:
                lost = None if outcome is None else outcome.loss
                given.adapting.note(given.first_score, lost, self.shadow_share)
        return outcome

    async def _ask(self, given: Given) -> ShadowOutcome | None:
        ledger = Ledger(time.perf_counter())
        own = replace(given.request, deadline_s=None, hold=NO_HOLD, on_doubt="defer")
        starter = Starter(given.tiers, own, ledger)
        tier = await starter.better(given.answered)
        if not isinstance(tier, RemoteTier):
            return None
        attempt = starter.ask(tier)
        try:
            said = await _whole(attempt)
        finally:
            attempt.stop()
            await ledger.settle()
            starter.forget()
        answer = given.answer
        kept = Said(answer.text, answer.tool_calls)
        return ShadowOutcome(
            trace_id=answer.trace_id,
            model=answer.model,
            task=given.tiers.confidence.task,
            signal=answer.signal,
            score=answer.score,
            confidence=answer.confidence,
            propensity=self.shadow_share,
            agreement=agreement(kept, said),
            cost_usd=attempt.cost_usd,
            features=given.features,
            loss=loss(kept, said),
        )


async def _whole(attempt: CloudTierAttempt) -> Said:
    while not attempt.is_over:
        attempt.transcript.add(await attempt.next())
    return Said(attempt.transcript.text, tuple(attempt.transcript.calls))
