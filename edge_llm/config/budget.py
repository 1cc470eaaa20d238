"""How much may be spent elsewhere, in US dollars and in bytes sent."""

from __future__ import annotations

from dataclasses import dataclass, fields

from edge_llm.config.checks import is_number, require_count
from edge_llm.errors import ConfigError


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """Limits by calendar day and month, UTC; None is no limit, 0 lets only
    what is free pass.
    """

    daily_usd: float | None = None
    monthly_usd: float | None = None
    daily_bytes: int | None = None
    monthly_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("daily_usd", "monthly_usd"):
            usd = getattr(self, name)
            if usd is not None and not (is_number(usd) and 0 <= usd <= 1e6):
                raise ConfigError(f"budget.{name} must be dollars, 0 to 1000000, not {usd!r}")
        for name in ("daily_bytes", "monthly_bytes"):
            require_count(f"budget.{name}", getattr(self, name), least=0, most=2**53, optional=True)

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit at all."""
        return any(getattr(self, field.name) is not None for field in fields(self))
