import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.certify import certify, find_threshold, measured_threshold
from edge_llm.confidence.guarantees.goals import AccuracyLoss
from tests.support.outcomes import plain_outcomes

MEAN_ONLY = AccuracyLoss(0.1, tail_epsilon=1.0)


def test_nineteen_rows_worked_by_hand() -> None:
    # (losses + 1) / 20 <= 0.1 allows one loss: the second one, at 0.45, is left out.
    scores = np.linspace(0.95, 0.05, 19)
    local = np.ones(19)
    local[[3, 10, 14]] = 0.0

    found = certify(scores, plain_outcomes(local, np.ones(19)), MEAN_ONLY)

    assert isinstance(found, Certificate)
    assert scores[10] < found.policy.threshold < scores[10] + 1e-9
    assert found.kept_share == pytest.approx(10 / 19)
    assert found.risk == pytest.approx(1 / 19)
    assert found.risk_bound == pytest.approx(2 / 20)
    assert not found.assumes_cloud_is_right
    assert found.policy.thresholds.keys() == {"end"}


def test_where_nothing_can_be_lost_everything_is_kept() -> None:
    found = certify(np.linspace(0, 1, 30), plain_outcomes(np.zeros(30), np.zeros(30)), MEAN_ONLY)

    assert isinstance(found, Certificate)
    assert (found.policy.threshold, found.kept_share) == (0.0, 1.0)


def test_without_the_cloud_every_wrong_answer_counts_and_it_is_said() -> None:
    found = certify(np.linspace(0, 1, 30), plain_outcomes(np.ones(30)), MEAN_ONLY)

    assert isinstance(found, Certificate)
    assert found.assumes_cloud_is_right


def test_rows_that_the_cloud_was_not_asked_certify_nothing() -> None:
    cloud = np.ones(40)
    cloud[10:] = np.nan
    local = np.ones(40)
    local[12:] = 0.0

    found = certify(np.linspace(1, 0, 40), plain_outcomes(local, cloud), MEAN_ONLY)

    assert isinstance(found, Certificate)
    assert found.risk == 0.0
    assert found.num_labels == 10


def test_a_tie_is_kept_or_escalated_as_a_whole() -> None:
    scores = np.repeat([0.9, 0.5], [30, 10])
    local = np.ones(40)
    local[30:] = 0.0

    found = certify(scores, plain_outcomes(local, np.ones(40)), MEAN_ONLY)

    assert isinstance(found, Certificate)
    assert found.kept_share == 0.75


def test_too_few_labels_are_counted() -> None:
    found = certify(np.ones(8), plain_outcomes(np.ones(8), np.ones(8)), MEAN_ONLY)

    assert isinstance(found, Infeasible)
    assert found.labels_needed == 9
    assert "9 labels" in found.advice[0]
    enough = certify(np.ones(9), plain_outcomes(np.ones(9), np.ones(9)), MEAN_ONLY)
    assert isinstance(enough, Certificate)


def test_the_tail_needs_labels_of_its_own() -> None:
    found = certify(np.ones(60), plain_outcomes(np.ones(60), np.ones(60)), AccuracyLoss(0.02))

    assert isinstance(found, Infeasible)
    # ln 0.02 / ln 0.97
    assert found.labels_needed == 129


def test_labels_without_any_answer_of_the_cloud_among_them_are_none() -> None:
    rows = plain_outcomes([1, 1], [np.nan, 1])

    found = certify([0.5], rows.select(np.array([1])), AccuracyLoss(0.02))
    nothing = certify([], rows.select(np.array([], np.int64)), MEAN_ONLY)

    assert isinstance(found, Infeasible)
    assert isinstance(nothing, Infeasible)
    assert nothing.labels_needed == 10


def test_a_score_that_trusts_what_is_wrong_is_infeasible_and_more_labels_do_not_help() -> None:
    local = np.arange(200) % 2.0

    found = certify(np.full(200, 0.5), plain_outcomes(local, np.ones(200)), MEAN_ONLY)

    assert isinstance(found, Infeasible)
    assert found.labels_needed is None
    assert found.level_reachable is not None
    assert found.level_reachable == pytest.approx(0.503)
    assert found.local_accuracy_needed == pytest.approx(0.9)
    assert "more labels would not help" in found.advice[0]
    again = AccuracyLoss(found.level_reachable, tail_epsilon=1.0)
    assert isinstance(
        certify(np.full(200, 0.5), plain_outcomes(local, np.ones(200)), again), Certificate
    )


def test_one_unlucky_label_asks_for_more_of_them() -> None:
    local = np.ones(15)
    local[0] = 0.0

    found = certify(np.full(15, 0.5), plain_outcomes(local, np.ones(15)), MEAN_ONLY)

    assert isinstance(found, Infeasible)
    assert found.labels_needed == 27
    many = np.ones(30)
    many[[0, 15]] = 0.0
    rows = plain_outcomes(many, np.ones(30))
    assert isinstance(certify(np.full(30, 0.5), rows, MEAN_ONLY), Certificate)


def test_requests_that_are_all_given_up_before_leave_nothing_to_certify() -> None:
    found = find_threshold(
        np.full(20, -np.inf), plain_outcomes(np.ones(20), np.ones(20)), MEAN_ONLY, None
    )

    assert isinstance(found, Infeasible)
    assert "escalated before" in found.reason


def test_a_small_tie_at_the_top_asks_for_no_impossible_accuracy() -> None:
    scores = np.r_[[1.0] * 5, [0.5] * 95]
    local = np.r_[np.zeros(5), np.ones(95)]
    goal = AccuracyLoss(0.05, tail_epsilon=1.0)

    found = certify(scores, plain_outcomes(local, np.ones(100)), goal)

    assert isinstance(found, Infeasible)
    assert found.local_accuracy_needed == 0.0


@given(st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=12, max_size=60))
def test_no_other_threshold_that_keeps_the_goal_keeps_more(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 8 for score, _ in rows])
    local = np.array([float(right) for _, right in rows])
    goal = AccuracyLoss(0.2, tail_epsilon=1.0)

    found = certify(scores, plain_outcomes(local, np.ones(len(rows))), goal)

    kept = [scores >= one for one in np.unique(scores)]
    fine = [k.mean() for k in kept if ((1 - local)[k].sum() + 1) / (len(rows) + 1) <= 0.2]
    if isinstance(found, Infeasible):
        assert not fine
    else:
        assert found.kept_share == pytest.approx(max(fine))


@pytest.mark.parametrize("cloud_accuracy", [1.0, 0.9])
@pytest.mark.parametrize("skill", [0.3, 2.0])
def test_the_promise_holds_over_many_calibrations(skill: float, cloud_accuracy: float) -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(6000) < 0.3
    scores = 1 / (1 + np.exp(skill * wrong + rng.normal(size=6000)))
    local = (~wrong).astype(float)
    cloud = (rng.random(6000) < cloud_accuracy).astype(float)
    loss = np.maximum(0.0, cloud - local)

    realised = []
    for _ in range(200):
        order = rng.permutation(6000)
        mine, new = order[:1000], order[1000:]
        found = certify(scores[mine], plain_outcomes(local[mine], cloud[mine]), AccuracyLoss(0.02))
        kept = scores[new] >= found.policy.threshold if isinstance(found, Certificate) else False
        realised.append(float((kept * loss[new]).mean()))

    assert np.mean(realised) <= 0.02
    assert np.quantile(realised, 0.95) <= 0.03
    assert np.mean(realised) > 0.015


def test_graded_and_weighted_rows_keep_the_promise() -> None:
    rng = np.random.default_rng(1)
    local = np.clip(rng.normal(0.8, 0.3, 4000), 0, 1)
    scores = np.clip(local + 0.3 * rng.normal(size=4000), 0, 1)
    propensity = np.where(rng.random(4000) < 0.5, 0.2, 0.5)
    goal = AccuracyLoss(0.05)

    realised = []
    for _ in range(100):
        seen = (rng.random(4000) < propensity) & (rng.random(4000) < 0.5)
        rows = plain_outcomes(local[seen], np.ones(seen.sum()), weights=1 / propensity[seen])
        found = certify(scores[seen], rows, goal)
        assert isinstance(found, Certificate)
        kept = scores >= found.policy.threshold
        realised.append(float((kept * (1 - local)).mean()))

    assert np.mean(realised) <= 0.05
    assert np.quantile(realised, 0.95) <= 0.075


def test_what_is_measured_promises_nothing() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    rows = plain_outcomes([1, 0, 1, 0], np.ones(4))

    assert measured_threshold(scores, rows, AccuracyLoss(0.25, tail_epsilon=1.0)) == 0.7
    worst = plain_outcomes([0, 0, 0, 0], np.ones(4))
    assert measured_threshold(scores, worst, AccuracyLoss(0.1)) == np.inf
