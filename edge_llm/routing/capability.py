"""Escalate what needs something that a tier does not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge_llm.routing.base import EscalationReason, Need, Refusal, RoutingFacts, TierFacts

LANGUAGE = "language:"


@dataclass(frozen=True, slots=True)
class CapabilityPolicy:
    """Refuses tiers without tools, vision, JSON schemas or the language that the request needs."""

    name: ClassVar[str] = "capability"

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Refuse by the first need, in alphabetical order, that the tier does not meet."""
        for need in sorted(request.needs):
            if need in tier.lacks:
                return Refusal(EscalationReason.CAPABILITY, signal=f"{need}: {tier.lacks[need]}")
            if not _meets(tier, need):
                return Refusal(EscalationReason.CAPABILITY, 0.0, 1.0, need)
        for need in sorted(request.needs & tier.poor_at):
            return Refusal(EscalationReason.CAPABILITY, 0.5, 1.0, need, is_hard=False)
        return None


def _meets(tier: TierFacts, need: Need) -> bool:
    if need.startswith(LANGUAGE):
        return tier.languages is None or need.removeprefix(LANGUAGE) in tier.languages
    return need in tier.capabilities
