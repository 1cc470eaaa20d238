from dataclasses import replace

import numpy as np
import pytest

from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.calibration.fit import fit_calibration
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.early import (
    best_scores,
    certify_policy,
    early_thresholds,
    saved_tokens,
)
from edge_llm.confidence.guarantees.goals import AccuracyLoss, Budget, SelectiveError
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.errors import CalibrationDataError
from tests.support.outcomes import BINDING, drawn_outcomes

INF = float("inf")


@pytest.fixture(scope="module")
def fitted() -> tuple[Calibration, Outcomes, Outcomes]:
    mine, held_out = drawn_outcomes(1600, 1).split(0.4)
    return fit_calibration(mine, BINDING), mine, held_out


def test_a_draft_given_up_early_saves_its_tokens_and_costs_little() -> None:
    first = np.array([0.1, 0.2, 0.5, 0.6, 0.7, 0.8])
    later = np.array([np.nan, 0.1, 0.9, 0.2, 0.8, np.nan])
    kept = np.array([False, False, True, False, True, True])

    limits = early_thresholds({"first": first, "16": later}, kept, max_lost=0.6)

    # 0.6 x 4 kept rows, half spent at the first: 1.2 - 1 allows none, then 2.4 - 1 allows one.
    assert limits == pytest.approx({"first": 0.5, "16": 0.9})


def test_no_loss_allowed_and_nothing_kept_decide_nothing_early() -> None:
    scores = {"first": np.array([0.1, 0.9])}

    assert early_thresholds(scores, np.array([False, True]), 0.0) == {"first": -INF}
    assert early_thresholds(scores, np.array([False, False]), 1.0) == {"first": -INF}
    assert early_thresholds({"first": np.full(2, np.nan)}, np.ones(2, bool), 1.0) == {"first": -INF}


def test_the_best_score_counts_until_a_draft_is_given_up() -> None:
    scores = {
        "first": np.array([0.9, 0.1, 0.5]),
        "16": np.array([0.6, 0.8, np.nan]),
        "end": np.array([0.2, 0.9, 0.7]),
    }

    best = best_scores(scores, {"first": 0.2, "16": 0.7}, ("first", "end"))

    assert best.tolist() == [0.9, -INF, 0.7]


@pytest.mark.parametrize("keep_at", [("end",), ("16", "end")])
@pytest.mark.parametrize("goal", [AccuracyLoss(0.05), SelectiveError(0.15)])
def test_the_policy_does_what_was_certified(
    fitted: tuple[Calibration, Outcomes, Outcomes],
    goal: AccuracyLoss | SelectiveError,
    keep_at: tuple[str, ...],
) -> None:
    calibration, mine, held_out = fitted

    found = certify_policy(calibration, mine, held_out, goal, keep_at=keep_at, max_lost=0.03)

    assert isinstance(found, Certificate)
    done = found.policy.replay(calibration.scores(held_out, goal.target))
    assert done.kept.mean() == found.kept_share
    new = drawn_outcomes(8000, 2)
    done = found.policy.replay(calibration.scores(new, goal.target))
    risk = (done.kept * new.gain).mean() if goal.target == "gain" else new.wrong[done.kept].mean()
    # What the goal allows a single calibration.
    assert risk < 1.5 * found.risk_bound
    saved = saved_tokens(found.policy, done, new)
    assert saved is not None
    assert saved > 0.1


def test_the_whole_policy_keeps_the_promise_over_many_calibrations() -> None:
    rows = drawn_outcomes(5000, 3)
    mine, rest = rows.split(0.1)
    calibration = fit_calibration(mine, BINDING)
    rng = np.random.default_rng(0)

    realised = []
    for _ in range(60):
        order = rng.permutation(len(rest))
        held_out, new = rest.select(order[:600]), rest.select(order[600:])
        found = certify_policy(
            calibration, mine, held_out, AccuracyLoss(0.03), keep_at=("16", "end"), max_lost=0.05
        )
        if isinstance(found, Infeasible):
            realised.append(0.0)
            continue
        done = found.policy.replay(calibration.scores(new, "gain"))
        realised.append(float((done.kept * new.gain).mean()))

    assert np.mean(realised) <= 0.03
    assert np.quantile(realised, 0.95) <= 0.045


def test_what_is_infeasible_is_said(fitted: tuple[Calibration, Outcomes, Outcomes]) -> None:
    calibration, mine, held_out = fitted

    found = certify_policy(calibration, mine, held_out, AccuracyLoss(0.01, budget=Budget(0.05)))

    assert isinstance(found, Infeasible)


def test_a_checkpoint_without_a_fit_cannot_keep(
    fitted: tuple[Calibration, Outcomes, Outcomes],
) -> None:
    calibration, mine, held_out = fitted
    for names in (("64",), ()):
        with pytest.raises(CalibrationDataError, match="nothing was fitted"):
            certify_policy(calibration, mine, held_out, AccuracyLoss(), keep_at=names)


def test_saved_tokens_need_tokens_and_escalated_requests(
    fitted: tuple[Calibration, Outcomes, Outcomes],
) -> None:
    calibration, mine, held_out = fitted
    found = certify_policy(calibration, mine, held_out, AccuracyLoss(0.05))
    assert isinstance(found, Certificate)
    scores = calibration.scores(held_out, "gain")
    done = found.policy.replay(scores)
    kept = held_out.select(done.kept)

    assert (
        saved_tokens(found.policy, found.policy.replay(calibration.scores(kept, "gain")), kept)
        is None
    )
    without = Outcomes(
        feature_names=held_out.feature_names,
        features=held_out.features,
        local_correct=held_out.local_correct,
    )
    unknown = replace(held_out, spent_tokens={})
    assert saved_tokens(found.policy, done, unknown) == 0.0
    with pytest.raises(CalibrationDataError, match="local_tokens"):
        saved_tokens(found.policy, done, without)


@pytest.mark.parametrize("goal", [AccuracyLoss(0.1), SelectiveError(0.2)])
def test_equal_scores_do_not_change_sides_by_their_last_bit(
    goal: AccuracyLoss | SelectiveError,
) -> None:
    rows = drawn_outcomes(1500, 8)
    for table in rows.features.values():
        table[:, 0] = np.round(table[:, 0])
        table[:, 1:] = 0.0
    mine, held_out = rows.split(0.4)
    calibration = fit_calibration(mine, BINDING)

    found = certify_policy(calibration, mine, held_out, goal)

    assert isinstance(found, Certificate)
    scores = calibration.scores(held_out, goal.target)
    kept = found.policy.replay(scores).kept
    for shift in (-1e-15, 1e-15):
        moved = {name: score + shift for name, score in scores.items()}
        assert found.policy.replay(moved).kept.tolist() == kept.tolist()
