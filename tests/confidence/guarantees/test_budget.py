from dataclasses import replace

import numpy as np
import pytest

from edge_llm.confidence.guarantees.budget import strictest_threshold
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.certify import certify
from edge_llm.confidence.guarantees.goals import AccuracyLoss, Budget, SelectiveError
from edge_llm.errors import CalibrationDataError
from tests.support.outcomes import plain_outcomes

SCORES = np.linspace(0.0, 1.0, 1000)
ONES = np.ones(1000)


def test_the_escalation_rate_is_kept_for_sure() -> None:
    rng = np.random.default_rng(0)

    violated = 0
    for _ in range(300):
        scores = rng.random(400)
        limit = strictest_threshold(scores, Budget(0.3), None, np.ones(400))
        assert limit is not None
        violated += limit > 0.3
    assert violated <= 45
    assert violated > 0


def test_dear_requests_use_more_of_the_budget() -> None:
    cost = np.where(SCORES < 0.1, 0.01, 0.001)
    weights = np.where(SCORES < 0.5, 1.0, 2.0)

    cheap = strictest_threshold(SCORES, Budget(usd_per_request=0.002), ONES * 0.001, ONES)
    dear = strictest_threshold(SCORES, Budget(usd_per_request=0.002), cost, ONES)
    weighted = strictest_threshold(SCORES, Budget(0.3), None, weights)

    assert cheap is not None
    assert dear is not None
    assert weighted is not None
    assert cheap == 1.0
    assert 0.3 < dear < 0.95
    # The lower half weighs a third of all, so that a budget of 0.3 reaches further.
    assert 0.3 < weighted < 0.45


def test_both_limits_hold_and_a_free_cloud_needs_none() -> None:
    both = Budget(0.5, 0.0001)

    found = strictest_threshold(SCORES, both, ONES * 0.001, ONES)

    assert found is not None
    assert found < 0.1
    assert strictest_threshold(SCORES, Budget(usd_per_request=1.0), ONES * 0.0, ONES) == 1.0


def test_too_few_rows_prove_no_budget() -> None:
    assert strictest_threshold(np.array([0.5]), Budget(0.1), None, np.ones(1)) is None


def test_costs_must_be_known_and_below_the_largest() -> None:
    with pytest.raises(CalibrationDataError, match="cost of each request"):
        strictest_threshold(SCORES, Budget(usd_per_request=1.0), None, ONES)
    with pytest.raises(CalibrationDataError, match="max_usd"):
        strictest_threshold(SCORES, Budget(usd_per_request=1.0, max_usd=0.5), ONES, ONES)


def test_a_goal_within_its_budget_is_certified_with_its_cost() -> None:
    rows = plain_outcomes((SCORES > 0.2).astype(float), ONES, cloud_cost_usd=ONES * 0.01)
    goal = AccuracyLoss(0.02, budget=Budget(0.3))

    found = certify(SCORES, rows, goal)

    assert isinstance(found, Certificate)
    assert found.kept_share == pytest.approx(0.817, abs=0.01)
    assert found.cost_usd_per_request == pytest.approx(0.01 * (1 - found.kept_share))


@pytest.mark.parametrize(
    "goal", [AccuracyLoss(0.02, budget=Budget(0.3)), SelectiveError(0.05, budget=Budget(0.3))]
)
def test_a_budget_that_does_not_reach_is_said(goal: AccuracyLoss | SelectiveError) -> None:
    rows = plain_outcomes((SCORES > 0.6).astype(float), ONES)

    found = certify(SCORES, rows, goal, grid=SCORES)

    assert isinstance(found, Infeasible)
    assert "budget" in found.reason
    assert found.level_reachable is not None
    assert isinstance(
        certify(SCORES, rows, replace(goal, budget=Budget(0.7)), grid=SCORES), Certificate
    )


def test_a_budget_that_nothing_proves_is_said_without_a_level() -> None:
    rows = plain_outcomes(np.ones(40), np.ones(40))

    found = certify(np.linspace(0, 1, 40), rows, AccuracyLoss(0.1, budget=Budget(0.01)))

    assert isinstance(found, Infeasible)
    assert found.level_reachable is None
