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

from edge_llm.confidence.agreement import Said, agreement
from edge_llm.errors import EdgeLLMError
from edge_llm.runtime.arms import share_of
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.cloud_attempt import CloudTierAttempt
from edge_llm.runtime.hold import NO_HOLD
from edge_llm.runtime.observations import ShadowOutcome, note_answer, note_shadow
from edge_llm.runtime.record import Ledger
from edge_llm.runtime.starting import Starter
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tiers import RemoteTier
from edge_llm.types import Answer

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Afterwards:
    """What runs behind the answers of one runtime; belongs to its event loops."""

    folder: Path | None = None
    """Where it is written down; None writes nothing."""
    shadow_share: float = 0.0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(
        self,
        tiers: TierSet,
        request: ChatRequest,
        answered: TierAttempt,
        answer: Answer,
        *,
        propensity: float | None,
        features: Mapping[str, float],
    ) -> None:
        """Start what there is to do about an answer; returns at once."""
        if self.folder is None:
            return
        work = self._work(tiers, request, answered, answer, propensity, features)
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def finished(self) -> None:
        """Wait for what this event loop still does."""
        loop = asyncio.get_running_loop()
        own = [task for task in self.tasks if task.get_loop() is loop]
        await asyncio.gather(*own, return_exceptions=True)

    async def _work(
        self,
        tiers: TierSet,
        request: ChatRequest,
        answered: TierAttempt,
        answer: Answer,
        propensity: float | None,
        features: Mapping[str, float],
    ) -> None:
        if self.folder is None:
            return
        try:
            await asyncio.to_thread(note_answer, self.folder, answer, propensity)
            if self._has_shadow(answer):
                shadow = await self._shadow(tiers, request, answered, answer, features)
                if shadow is not None:
                    await asyncio.to_thread(note_shadow, self.folder, shadow)
        except EdgeLLMError as error:
            # The answer is given; what is learned from it may be lost, and says so.
            logger.warning("an answer was not written down or checked: %s", error.code)

    def _has_shadow(self, answer: Answer) -> bool:
        is_kept = answer.route == "local" and answer.reason is None and not answer.degraded
        return is_kept and share_of(answer.trace_id, "shadow") < self.shadow_share

    async def _shadow(
        self,
        tiers: TierSet,
        request: ChatRequest,
        answered: TierAttempt,
        answer: Answer,
        features: Mapping[str, float],
    ) -> ShadowOutcome | None:
        """What the next tier elsewhere says; None where privacy, budget or the network forbid it.

        Raises:
            EdgeLLMError: it could not be asked.
        """
        ledger = Ledger(time.perf_counter())
        own = replace(request, deadline_s=None, hold=NO_HOLD, on_doubt="defer")
        starter = Starter(tiers, own, ledger)
        tier = await starter.better(answered)
        if not isinstance(tier, RemoteTier):
            return None
        attempt = starter.ask(tier)
        try:
            said = await _whole(attempt)
        finally:
            attempt.stop()
            await ledger.settle()
            starter.forget()
        return ShadowOutcome(
            trace_id=answer.trace_id,
            model=answer.model,
            task=tiers.confidence.task,
            signal=answer.signal,
            score=answer.score,
            confidence=answer.confidence,
            propensity=self.shadow_share,
            agreement=agreement(Said(answer.text, answer.tool_calls), said),
            cost_usd=attempt.cost_usd,
            features=features,
        )


async def _whole(attempt: CloudTierAttempt) -> Said:
    while not attempt.is_over:
        attempt.transcript.add(await attempt.next())
    return Said(attempt.transcript.text, tuple(attempt.transcript.calls))
