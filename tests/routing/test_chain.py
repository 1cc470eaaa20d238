from edge_llm.routing.base import EscalationReason, HealthFacts, RoutingFacts, TierFacts
from edge_llm.routing.capability import CapabilityPolicy
from edge_llm.routing.chain import RoutingChain
from edge_llm.routing.context_length import ContextLengthPolicy
from edge_llm.routing.health import HealthPolicy
from edge_llm.routing.privacy import PrivacyPolicy

SMALL = TierFacts("small", prompt_tokens=100, context_length=128)
LARGE = TierFacts("large", prompt_tokens=90, context_length=4096)
CLOUD = TierFacts(
    "cloud", trust="cloud", is_local=False, capabilities=frozenset({"vision"}), needs_network=True
)
TIERS = [SMALL, LARGE, CLOUD]
CHAIN = RoutingChain((PrivacyPolicy(), CapabilityPolicy(), ContextLengthPolicy(), HealthPolicy()))
HOT = HealthFacts(temperature_c=90.0)


def test_the_first_tier_has_what_nobody_refuses() -> None:
    decision = CHAIN.route(RoutingFacts(max_tokens=20), TIERS)

    assert (decision.tier, decision.reason, decision.refusals) == ("small", None, ())


def test_what_does_not_fit_goes_one_step_up_and_not_further() -> None:
    decision = CHAIN.route(RoutingFacts(max_tokens=100, label="allow"), TIERS)

    assert (decision.tier, decision.reason) == ("large", EscalationReason.CONTEXT_LENGTH)
    assert (decision.score, decision.threshold, decision.policy) == (200, 128, "context_length")


def test_with_no_tier_left_the_decision_says_what_kept_each() -> None:
    decision = CHAIN.route(RoutingFacts(max_tokens=20, needs=frozenset({"vision"})), TIERS)

    assert decision.tier is None
    assert [(r.tier, r.policy) for r in decision.refusals] == [
        ("small", "capability"),
        ("large", "capability"),
        ("cloud", "privacy"),
    ]


def test_a_soft_refusal_gives_way_where_no_other_tier_can() -> None:
    decision = CHAIN.route(RoutingFacts(max_tokens=20, health=HOT), TIERS)

    assert (decision.tier, decision.is_second_best) == ("small", True)
    assert decision.reason is EscalationReason.HEALTH


def test_a_soft_refusal_is_kept_where_another_tier_can() -> None:
    decision = CHAIN.route(RoutingFacts(max_tokens=20, health=HOT, label="allow"), TIERS)

    assert (decision.tier, decision.is_second_best) == ("cloud", False)


def test_second_best_is_never_a_tier_that_cannot() -> None:
    decision = CHAIN.route(RoutingFacts(max_tokens=100, health=HOT), TIERS)

    assert (decision.tier, decision.is_second_best) == ("large", True)
    assert decision.refusals[0].refusal.reason is EscalationReason.CONTEXT_LENGTH


def test_the_order_of_the_policies_decides_which_reason_is_given() -> None:
    request = RoutingFacts(max_tokens=100, needs=frozenset({"vision"}), label="allow")
    other_way = RoutingChain(CHAIN.policies[::-1])

    assert CHAIN.route(request, TIERS).policy == "capability"
    assert other_way.route(request, TIERS).policy == "context_length"
