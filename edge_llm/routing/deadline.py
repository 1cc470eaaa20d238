"""Do not begin what cannot end in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge_llm.routing.base import EscalationReason, Refusal, RoutingFacts, TierFacts


@dataclass(frozen=True, slots=True)
class DeadlinePolicy:
    """Refuses tiers, softly, that are expected to take longer than is left."""

    name: ClassVar[str] = "deadline"

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Refuse a tier whose measured speed does not allow it; an unknown speed allows it."""
        left_s, expected_s = request.time_left_s, tier.expected_s
        if left_s is None or expected_s is None or expected_s <= left_s:
            return None
        return Refusal(EscalationReason.DEADLINE, expected_s, left_s, "seconds", is_hard=False)
