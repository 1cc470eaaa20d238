"""Spare a device in trouble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from edge_llm.routing.base import (
    EscalationReason,
    HealthFacts,
    Refusal,
    RoutingFacts,
    TierFacts,
)


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """Refuses local tiers, softly, while the device is short of memory, hot or throttled."""

    name: ClassVar[str] = "health"

    min_available_memory_bytes: int | None = 64 << 20
    max_memory_pressure: float | None = 0.4
    max_temperature_c: float | None = 85.0
    """Where a Raspberry Pi throttles.

    Source: https://www.raspberrypi.com/documentation/computers/raspberry-pi.html (80 to 85 °C).
    """
    spare_when_throttled: bool = True

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Refuse a local tier by the first limit that is passed."""
        return next(self._troubles(request.health), None) if tier.is_local else None

    def _troubles(self, health: HealthFacts) -> Iterator[Refusal]:
        free, least = health.available_memory_bytes, self.min_available_memory_bytes
        if free is not None and least is not None and free < least:
            yield _refusal(free, least, "available_memory_bytes")
        pressure, most = health.memory_pressure, self.max_memory_pressure
        if pressure is not None and most is not None and pressure > most:
            yield _refusal(pressure, most, "memory_pressure")
        heat, hottest = health.temperature_c, self.max_temperature_c
        if heat is not None and hottest is not None and heat > hottest:
            yield _refusal(heat, hottest, "temperature_c")
        if health.is_throttled and self.spare_when_throttled:
            yield _refusal(1.0, 0.0, "is_throttled")


def _refusal(score: float, threshold: float, signal: str) -> Refusal:
    return Refusal(EscalationReason.HEALTH, score, threshold, signal, is_hard=False)
