"""All policies together: the first tier that none of them refuses gets the request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edge_llm.routing.base import (
    RoutingDecision,
    RoutingFacts,
    RoutingPolicy,
    TierFacts,
    TierRefusal,
)


@dataclass(frozen=True, slots=True)
class RoutingChain:
    """Policies in their configured order: of several that refuse, the first is the reason."""

    policies: tuple[RoutingPolicy, ...]

    def route(self, request: RoutingFacts, tiers: Iterable[TierFacts]) -> RoutingDecision:
        """The first tier without a refusal, else the first with soft ones only, else none."""
        refusals: list[TierRefusal] = []
        second_best: TierFacts | None = None
        for tier in tiers:
            found = list(self._refusals(request, tier))
            if not found:
                return _decision(tier, refusals)
            refusals.append(next((r for r in found if r.refusal.is_hard), found[0]))
            if second_best is None and not any(r.refusal.is_hard for r in found):
                second_best = tier
        return _decision(second_best, refusals, is_second_best=second_best is not None)

    def _refusals(self, request: RoutingFacts, tier: TierFacts) -> Iterator[TierRefusal]:
        for policy in self.policies:
            refusal = policy.refuse(request, tier)
            if refusal is not None:
                yield TierRefusal(tier.name, policy.name, refusal)
                if refusal.is_hard:
                    return


def _decision(
    tier: TierFacts | None, refusals: list[TierRefusal], *, is_second_best: bool = False
) -> RoutingDecision:
    name = None if tier is None else tier.name
    if not refusals:
        return RoutingDecision(name)
    first = refusals[0]
    return RoutingDecision(
        name,
        first.refusal.reason,
        first.refusal.score,
        first.refusal.threshold,
        first.refusal.signal,
        first.policy,
        is_second_best,
        tuple(refusals),
    )
