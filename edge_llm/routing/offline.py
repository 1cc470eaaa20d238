"""Being offline is normal: what needs the network is then not tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge_llm.routing.base import EscalationReason, Refusal, RoutingFacts, TierFacts


@dataclass(frozen=True, slots=True)
class OfflinePolicy:
    """Refuses tiers behind a network that is not there, and tiers whose endpoints all failed."""

    name: ClassVar[str] = "offline"

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Refuse what cannot be reached, or was not a moment ago."""
        if request.is_offline and tier.needs_network:
            return Refusal(EscalationReason.OFFLINE)
        return None if tier.is_available else Refusal(EscalationReason.UNAVAILABLE)
