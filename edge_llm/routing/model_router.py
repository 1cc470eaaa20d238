"""Escalate what the local model itself, asked before it answers, finds too hard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge_llm.routing.base import EscalationReason, Refusal, RoutingFacts, TierFacts


@dataclass(frozen=True, slots=True)
class ModelRouterPolicy:
    """Refuses local tiers, softly, where the estimated hardness is above a threshold."""

    name: ClassVar[str] = "model_router"

    threshold: float = 0.5

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Refuse a local tier; nothing is refused while nobody has asked the model."""
        hardness = request.hardness
        if hardness is None or hardness <= self.threshold or not tier.is_local:
            return None
        return Refusal(
            EscalationReason.MODEL_ROUTER, hardness, self.threshold, "hardness", is_hard=False
        )
