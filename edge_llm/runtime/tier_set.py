"""What all requests of one runtime share: its tiers, its rules, and what was learned of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from edge_llm.config import ConfidenceConfig, EscalationConfig, is_offline
from edge_llm.device.network import has_network
from edge_llm.errors import RuntimeClosedError, StoreError
from edge_llm.routing.base import HealthFacts, RoutingDecision, RoutingFacts
from edge_llm.routing.chain import RoutingChain
from edge_llm.runtime.adapting import Adapting
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.cloud_attempt import CloudTierAttempt
from edge_llm.runtime.health import HealthMeter
from edge_llm.runtime.limits import TierTimes
from edge_llm.runtime.outgoing import Door
from edge_llm.runtime.tiers import LocalTier, RemoteTier, Tier, TierBook


def is_cut_off() -> bool:
    """Whether nothing but this machine can, or may, be reached; asks nobody."""
    return is_offline() or not has_network()


@dataclass(frozen=True, slots=True, eq=False)
class TierSet:
    """One runtime's tiers and rules."""

    tiers: tuple[Tier, ...]
    chain: RoutingChain = field(default_factory=lambda: RoutingChain(()))
    settings: EscalationConfig = field(default_factory=EscalationConfig)
    confidence: ConfidenceConfig = field(default_factory=ConfidenceConfig)
    door: Door | None = None
    """None where no tier is elsewhere."""
    health: HealthMeter = field(default_factory=HealthMeter)
    times: TierTimes = field(default_factory=TierTimes)
    live: set[CloudTierAttempt] = field(default_factory=set)
    """Requests to endpoints that may be under way."""
    is_closed: threading.Event = field(default_factory=threading.Event)
    is_cut_off: Callable[[], bool] = is_cut_off

    @property
    def local_tiers(self) -> Iterator[LocalTier]:
        """Those with a model of our own."""
        return (tier for tier in self.tiers if isinstance(tier, LocalTier))

    @property
    def learned(self) -> Iterator[Adapting]:
        """What is learned in use, of each local tier that has a calibration."""
        return (tier.adapting for tier in self.local_tiers if tier.adapting is not None)

    @property
    def escalates(self) -> bool:
        """Whether there is more than one tier, so that there is something to decide."""
        return len(self.tiers) > 1

    def close_blocking(self) -> None:
        """Stop the engines and free their models; blocks for one step of each at most."""
        self.is_closed.set()
        for attempt in list(self.live):
            attempt.end(RuntimeClosedError("the runtime was closed"))
        for tier in self.local_tiers:
            tier.model.close()
        for learned in self.learned:
            learned.close()
        if self.door is not None and self.door.budget is not None:
            self.door.budget.close()

    async def close_connections(self) -> None:
        """Close what is kept open to endpoints, as far as this event loop opened it."""
        for tier in self.tiers:
            if isinstance(tier, RemoteTier):
                await tier.cloud.close()

    def tier(self, name: str) -> Tier:
        """The tier of this name."""
        return next(tier for tier in self.tiers if tier.name == name)

    def book(self, request: ChatRequest) -> TierBook:
        """What is to be known of the tiers for one request."""
        judged = any(tier.calibration.calibration for tier in self.local_tiers)
        measures = judged or (self.escalates and "confidence" in self.settings.deferral)
        return TierBook(request, self.times.expected_s, measures=measures)

    def route(
        self,
        request: ChatRequest,
        book: TierBook,
        tiers: Sequence[Tier],
        hardness: float | None = None,
    ) -> RoutingDecision:
        """The first of these tiers that may have the request. Blocks: it counts tokens.

        Raises:
            RequestError: the request is malformed.
        """
        facts = self._facts(request, hardness)
        # Lazily: a tier that is never reached need not make its prompt.
        return self.chain.route(facts, (book.facts(tier) for tier in tiers))

    def _facts(self, request: ChatRequest, hardness: float | None) -> RoutingFacts:
        policies = {policy.name for policy in self.chain.policies}
        remote = any(isinstance(tier, RemoteTier) for tier in self.tiers)
        left_usd, left_bytes = self._budget_left() if "budget" in policies else (None, None)
        return RoutingFacts(
            max_tokens=request.max_tokens or 1,
            needs=request.needs,
            label=request.label.value,
            text=request.last_user_text,
            tags=request.tags,
            budget_left_usd=left_usd,
            budget_left_bytes=left_bytes,
            is_offline="offline" in policies and remote and self.is_cut_off(),
            time_left_s=request.time_left_s,
            hardness=hardness,
            health=self.health.facts() if "health" in policies else HealthFacts(),
        )

    def _budget_left(self) -> tuple[float | None, int | None]:
        budget = None if self.door is None else self.door.budget
        if budget is None:
            return None, None
        with contextlib.suppress(StoreError):
            status = budget.status()
            return status.left_usd, status.left_bytes
        return 0.0, 0  # an account that cannot be read lets nothing pass
