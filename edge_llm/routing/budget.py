"""Spend no more, and send no more, than was allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge_llm.routing.base import EscalationReason, Refusal, RoutingFacts, TierFacts


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """Refuses tiers that may cost, or would be sent, more than is left.

    What is left may change before the request gets there: the reservation itself decides.
    """

    name: ClassVar[str] = "budget"

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Refuse by dollars first, then by bytes."""
        usd, num_bytes = request.budget_left_usd, request.budget_left_bytes
        if usd is not None and tier.estimated_usd > usd:
            return Refusal(EscalationReason.BUDGET, tier.estimated_usd, usd, "usd")
        if num_bytes is not None and tier.estimated_bytes > num_bytes:
            return Refusal(EscalationReason.BUDGET, tier.estimated_bytes, num_bytes, "bytes")
        return None
