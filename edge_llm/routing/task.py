"""Send some tasks where their owner wants them: by a tag, or by how the request is worded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from edge_llm.routing.base import EscalationReason, Refusal, RoutingFacts, TierFacts


@dataclass(frozen=True, slots=True)
class TaskRule:
    """Requests that bear `tag`, or whose last user message matches `pattern`, go to `tier`."""

    tier: str
    tag: str | None = None
    pattern: re.Pattern[str] | None = None

    def matches(self, request: RoutingFacts) -> bool:
        """Whether the rule is about this request."""
        if self.tag is not None and self.tag in request.tags:
            return True
        return self.pattern is not None and self.pattern.search(request.text) is not None

    @property
    def signal(self) -> str:
        """The rule in a few words."""
        return f"tag {self.tag}" if self.pattern is None else f"/{self.pattern.pattern}/"


@dataclass(frozen=True, slots=True)
class TaskPolicy:
    """Refuses, softly, every tier but the one that the first matching rule names."""

    name: ClassVar[str] = "task"

    rules: tuple[TaskRule, ...] = ()

    def refuse(self, request: RoutingFacts, tier: TierFacts) -> Refusal | None:
        """Refuse a tier that the request's rule does not name."""
        rule = next((rule for rule in self.rules if rule.matches(request)), None)
        if rule is None or rule.tier == tier.name:
            return None
        return Refusal(EscalationReason.TASK, signal=rule.signal, is_hard=False)
