from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edge_llm.confidence.ab import Comparison, off_policy_value
from edge_llm.errors import CalibrationDataError

EVEN = {"now": 0.5, "new": 0.5}


def run(rewards: Mapping[str, float], guards: Mapping[str, float], seed: int = 0) -> Comparison:
    rng = np.random.default_rng(seed)
    comparison = Comparison(EVEN, "now")
    for _ in range(4000):
        arm = "new" if rng.random() < 0.5 else "now"
        reward, guard = (float(rng.random() < known[arm]) for known in (rewards, guards))
        comparison.update(arm, reward, guard=guard)
        if comparison.verdicts()[0].state != "continue":
            break
    return comparison


@pytest.mark.parametrize(
    ("rewards", "guards", "state"),
    [
        ({"now": 0.3, "new": 0.7}, {"now": 1.0, "new": 1.0}, "better"),
        ({"now": 0.7, "new": 0.3}, {"now": 1.0, "new": 1.0}, "worse"),
        ({"now": 0.5, "new": 0.5}, {"now": 0.9, "new": 0.4}, "harmful"),
        ({"now": 0.3, "new": 0.7}, {"now": 0.9, "new": 0.4}, "harmful"),
        ({"now": 0.5, "new": 0.5}, {"now": 1.0, "new": 1.0}, "continue"),
    ],
)
def test_a_test_ends_when_it_is_sure(
    rewards: dict[str, float], guards: dict[str, float], state: str
) -> None:
    comparison = run(rewards, guards)

    (verdict,) = comparison.verdicts()
    assert (verdict.arm, verdict.state) == ("new", state)
    assert comparison.num_requests("new") + comparison.num_requests("now") <= 4000
    assert comparison.mean("now") == pytest.approx(rewards["now"], abs=0.12)


def test_equal_arms_are_told_apart_as_rarely_as_promised() -> None:
    wrong = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        comparison = Comparison({"now": 0.5, "a": 0.25, "b": 0.25}, "now", delta=0.1)
        for arm in rng.choice(["now", "a", "b"], 400, p=[0.5, 0.25, 0.25]).tolist():
            comparison.update(arm, float(rng.random() < 0.6))
        wrong += any(one.state != "continue" for one in comparison.verdicts())

    assert wrong <= 6


def test_propensities_that_change_leave_no_bias() -> None:
    rng = np.random.default_rng(5)
    comparison = Comparison({"now": 0.2, "new": 0.2}, "now")
    for _ in range(6000):
        # Easy requests go to the new arm more often, and are answered better by both.
        is_easy = rng.random() < 0.5
        chance = 0.8 if is_easy else 0.2
        arm = "new" if rng.random() < chance else "now"
        reward = float(rng.random() < (0.9 if is_easy else 0.3))
        comparison.update(arm, reward, propensity=chance if arm == "new" else 1 - chance)

    (verdict,) = comparison.verdicts()
    assert verdict.state == "continue"
    assert abs(verdict.reward.value) < 0.06
    assert verdict.reward.low <= 0.0 <= verdict.reward.high
    new, now = comparison.mean("new"), comparison.mean("now")
    assert new is not None
    assert now is not None
    assert new - now > 0.2


def test_a_guard_rail_that_is_seen_of_some_requests_only_is_not_bent() -> None:
    rng = np.random.default_rng(6)
    honest = Comparison(EVEN, "now", least_seen=0.1)
    bent = Comparison(EVEN, "now")
    for _ in range(20_000):
        # The new arm escalates more; of both, what is kept is right in 60 %, and checked in 10 %.
        arm = "new" if rng.random() < 0.5 else "now"
        is_escalated = rng.random() < (0.6 if arm == "new" else 0.2)
        seen = 1.0 if is_escalated else 0.1
        is_right = float(is_escalated or rng.random() < 0.6)
        guard = is_right if rng.random() < seen else None
        honest.update(arm, 0.5, guard=guard, guard_seen=seen)
        bent.update(arm, 0.5, guard=guard)

    (fair,), (other,) = honest.verdicts(), bent.verdicts()
    truth = (0.6 + 0.4 * 0.6) - (0.2 + 0.8 * 0.6)
    assert fair.guard is not None
    assert other.guard is not None
    assert fair.guard.value == pytest.approx(truth, abs=0.045)
    assert abs(other.guard.value - truth) > 0.05


def test_before_any_request_nothing_is_known() -> None:
    comparison = Comparison(EVEN, "now")

    (verdict,) = comparison.verdicts()

    assert (verdict.state, verdict.guard) == ("continue", None)
    assert comparison.mean("new") is None


@pytest.mark.parametrize(
    ("arms", "baseline"), [({"a": 1.0}, "a"), (EVEN, "old"), ({"a": 0.0, "b": 1.0}, "a")]
)
def test_arms_that_compare_nothing_are_refused(arms: dict[str, float], baseline: str) -> None:
    with pytest.raises(CalibrationDataError):
        Comparison(arms, baseline)


@pytest.mark.parametrize(
    "told",
    [
        {"arm": "old", "reward": 1.0},
        {"arm": "new", "reward": 1.5},
        {"arm": "new", "reward": 1.0, "guard": -1.0},
        {"arm": "new", "reward": 1.0, "propensity": 0.4},
        {"arm": "new", "reward": 1.0, "guard_seen": 0.5},
    ],
)
def test_a_request_that_does_not_fit_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(CalibrationDataError):
        Comparison(EVEN, "now").update(**told)


@pytest.mark.parametrize("has_predictions", [False, True])
def test_a_log_tells_what_another_policy_would_have_earned(has_predictions: bool) -> None:
    rng = np.random.default_rng(7)
    is_easy = rng.random(5000) < 0.5
    propensity = np.where(is_easy, 0.7, 0.4)
    taken = rng.random(5000) < propensity
    rewards = np.where(taken, np.where(is_easy, 0.8, 0.2), 0.5)
    # The other policy always takes the action.
    found = off_policy_value(
        rewards,
        np.where(taken, propensity, 1 - propensity),
        taken.astype(float),
        np.where(is_easy, 0.8, 0.2) if has_predictions else None,
    )

    assert found.low <= 0.5 <= found.high
    assert found.value == pytest.approx(0.5, abs=0.03)
    assert found.high - found.low < (0.1 if has_predictions else 0.3)


def test_an_action_that_could_not_be_drawn_tells_nothing() -> None:
    with pytest.raises(CalibrationDataError, match="propensities"):
        off_policy_value([1.0], [0.0], [1.0])
    with pytest.raises(CalibrationDataError, match="no rows"):
        off_policy_value([], [], [])
