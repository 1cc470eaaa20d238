"""Escalate what cannot fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge_llm.routing.base import EscalationReason, Refusal, RoutingFacts, TierFacts


@dataclass(frozen=True, slots=True)
class ContextLengthPolicy:
    """Refuses tiers in which prompt and answer do not fit together."""

    name: ClassVar[str] = "context_length"

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Refuse where `prompt_tokens + max_tokens > context_length`."""
        needed = tier.prompt_tokens + request.max_tokens
        if tier.context_length is None or needed <= tier.context_length:
            return None
        return Refusal(EscalationReason.CONTEXT_LENGTH, needed, tier.context_length, "tokens")
