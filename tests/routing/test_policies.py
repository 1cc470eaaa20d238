import re
from dataclasses import replace
from typing import Any

import pytest

from edge_llm.routing.base import (
    EscalationReason,
    HealthFacts,
    Refusal,
    RoutingFacts,
    RoutingPolicy,
    TierFacts,
)
from edge_llm.routing.budget import BudgetPolicy
from edge_llm.routing.capability import CapabilityPolicy
from edge_llm.routing.context_length import ContextLengthPolicy
from edge_llm.routing.deadline import DeadlinePolicy
from edge_llm.routing.health import HealthPolicy
from edge_llm.routing.model_router import ModelRouterPolicy
from edge_llm.routing.offline import OfflinePolicy
from edge_llm.routing.privacy import PrivacyPolicy
from edge_llm.routing.task import TaskPolicy, TaskRule

LOCAL = TierFacts("local", prompt_tokens=100, context_length=128, expected_s=4.0)
CLOUD = TierFacts(
    "cloud",
    trust="cloud",
    is_local=False,
    prompt_tokens=100,
    capabilities=frozenset({"tools", "vision"}),
    languages=frozenset({"en", "de"}),
    needs_network=True,
    estimated_usd=0.02,
    estimated_bytes=900,
)
LAN = TierFacts("shed", trust="lan", is_local=False, needs_network=True)

MATHS = TaskPolicy((TaskRule("cloud", pattern=re.compile(r"(?i)\bintegral\b")),))
TAGGED = TaskPolicy((TaskRule("local", tag="home"), TaskRule("cloud", tag="essay")))


def facts(**values: Any) -> RoutingFacts:
    return RoutingFacts(**{"max_tokens": 28, **values})


def soft(
    reason: EscalationReason,
    score: float | None = None,
    threshold: float | None = None,
    signal: str | None = None,
) -> Refusal:
    return Refusal(reason, score, threshold, signal, is_hard=False)


R = EscalationReason
REFUSED: list[tuple[RoutingPolicy, RoutingFacts, TierFacts, Refusal]] = [
    (
        CapabilityPolicy(),
        facts(needs={"tools"}),
        replace(LOCAL, capabilities=frozenset({"tools"}), poor_at=frozenset({"tools"})),
        soft(R.CAPABILITY, 0.5, 1.0, "tools"),
    ),
    (
        ContextLengthPolicy(),
        facts(max_tokens=29),
        LOCAL,
        Refusal(R.CONTEXT_LENGTH, 129, 128, "tokens"),
    ),
    (CapabilityPolicy(), facts(needs={"vision"}), LOCAL, Refusal(R.CAPABILITY, 0, 1, "vision")),
    (
        CapabilityPolicy(),
        facts(needs={"tools", "language:fi"}),
        CLOUD,
        Refusal(R.CAPABILITY, 0, 1, "language:fi"),
    ),
    (PrivacyPolicy(), facts(), CLOUD, Refusal(R.PRIVACY, signal="label local_only")),
    (PrivacyPolicy(), facts(), LAN, Refusal(R.PRIVACY, signal="label local_only")),
    (
        PrivacyPolicy(lan_is_local=True),
        facts(),
        CLOUD,
        Refusal(R.PRIVACY, signal="label local_only"),
    ),
    (
        PrivacyPolicy(),
        facts(label="whatever"),
        CLOUD,
        Refusal(R.PRIVACY, signal="label whatever"),
    ),
    (
        BudgetPolicy(),
        facts(budget_left_usd=0.01),
        CLOUD,
        Refusal(R.BUDGET, 0.02, 0.01, "usd"),
    ),
    (
        BudgetPolicy(),
        facts(budget_left_usd=1.0, budget_left_bytes=899),
        CLOUD,
        Refusal(R.BUDGET, 900, 899, "bytes"),
    ),
    (
        HealthPolicy(),
        facts(health=HealthFacts(available_memory_bytes=1 << 20)),
        LOCAL,
        soft(R.HEALTH, 1 << 20, 64 << 20, "available_memory_bytes"),
    ),
    (
        HealthPolicy(),
        facts(health=HealthFacts(memory_pressure=0.5)),
        LOCAL,
        soft(R.HEALTH, 0.5, 0.4, "memory_pressure"),
    ),
    (
        HealthPolicy(),
        facts(health=HealthFacts(temperature_c=86.0)),
        LOCAL,
        soft(R.HEALTH, 86.0, 85.0, "temperature_c"),
    ),
    (
        HealthPolicy(),
        facts(health=HealthFacts(is_throttled=True)),
        LOCAL,
        soft(R.HEALTH, 1.0, 0.0, "is_throttled"),
    ),
    (
        MATHS,
        facts(text="The integral of x"),
        LOCAL,
        soft(R.TASK, None, None, r"/(?i)\bintegral\b/"),
    ),
    (TAGGED, facts(tags={"essay"}), LOCAL, soft(R.TASK, None, None, "tag essay")),
    (TAGGED, facts(tags={"essay", "home"}), CLOUD, soft(R.TASK, None, None, "tag home")),
    (
        ModelRouterPolicy(),
        facts(hardness=0.51),
        LOCAL,
        soft(R.MODEL_ROUTER, 0.51, 0.5, "hardness"),
    ),
    (OfflinePolicy(), facts(is_offline=True), CLOUD, Refusal(R.OFFLINE)),
    (
        OfflinePolicy(),
        facts(),
        TierFacts("cloud", is_local=False, is_available=False),
        Refusal(R.UNAVAILABLE),
    ),
    (
        DeadlinePolicy(),
        facts(time_left_s=3.0),
        LOCAL,
        soft(R.DEADLINE, 4.0, 3.0, "seconds"),
    ),
]

ALLOWED: list[tuple[RoutingPolicy, RoutingFacts, TierFacts]] = [
    (ContextLengthPolicy(), facts(max_tokens=28), LOCAL),
    (ContextLengthPolicy(), facts(max_tokens=10**6), CLOUD),
    (CapabilityPolicy(), facts(needs={"tools", "language:de"}), CLOUD),
    (CapabilityPolicy(), facts(needs={"language:fi"}), LOCAL),
    (PrivacyPolicy(), facts(), LOCAL),
    (PrivacyPolicy(lan_is_local=True), facts(), LAN),
    (PrivacyPolicy(), facts(label="redact"), CLOUD),
    (PrivacyPolicy(), facts(label="allow"), CLOUD),
    (BudgetPolicy(), facts(), CLOUD),
    (BudgetPolicy(), facts(budget_left_usd=0.02, budget_left_bytes=900), CLOUD),
    (BudgetPolicy(), facts(budget_left_usd=0.0, budget_left_bytes=0), LOCAL),
    (HealthPolicy(), facts(), LOCAL),
    (HealthPolicy(), facts(health=HealthFacts(temperature_c=99.0)), CLOUD),
    (HealthPolicy(max_temperature_c=None), facts(health=HealthFacts(temperature_c=99.0)), LOCAL),
    (MATHS, facts(text="lights on"), LOCAL),
    (MATHS, facts(text="The integral of x"), CLOUD),
    (TAGGED, facts(tags={"home"}), LOCAL),
    (ModelRouterPolicy(), facts(), LOCAL),
    (ModelRouterPolicy(), facts(hardness=0.5), LOCAL),
    (ModelRouterPolicy(), facts(hardness=1.0), CLOUD),
    (OfflinePolicy(), facts(is_offline=True), LOCAL),
    (DeadlinePolicy(), facts(time_left_s=4.0), LOCAL),
    (DeadlinePolicy(), facts(time_left_s=0.0), CLOUD),
]


@pytest.mark.parametrize(("policy", "request_facts", "tier", "refusal"), REFUSED)
def test_a_tier_is_refused_with_reason_score_and_threshold(
    policy: RoutingPolicy, request_facts: RoutingFacts, tier: TierFacts, refusal: Refusal
) -> None:
    assert policy.refuse(request_facts, tier) == refusal


@pytest.mark.parametrize(("policy", "request_facts", "tier"), ALLOWED)
def test_a_tier_is_left_to_the_other_policies(
    policy: RoutingPolicy, request_facts: RoutingFacts, tier: TierFacts
) -> None:
    assert policy.refuse(request_facts, tier) is None


def test_what_the_user_said_is_in_no_repr() -> None:
    assert "secret" not in repr(facts(text="secret"))
