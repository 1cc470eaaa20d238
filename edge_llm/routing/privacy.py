"""Keep what must not leave. A second check stands at the door to the network itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edge_llm.routing.base import EscalationReason, Refusal, RoutingFacts, TierFacts


@dataclass(frozen=True, slots=True)
class PrivacyPolicy:
    """Refuses tiers outside the device to requests labelled `local_only`, or nothing known."""

    name: ClassVar[str] = "privacy"

    lan_is_local: bool = False
    """Whether `local_only` includes the owner's own machines on the network."""

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Refuse where the label does not reach as far as the tier's trust."""
        if tier.trust == "device" or request.label in ("redact", "allow"):
            return None
        if tier.trust == "lan" and self.lan_is_local:
            return None
        return Refusal(EscalationReason.PRIVACY, signal=f"label {request.label}")
