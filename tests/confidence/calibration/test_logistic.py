import numpy as np
import pytest

from edge_llm.confidence.calibration.folds import make_folds
from edge_llm.confidence.calibration.logistic import cross_fit, fit_logistic, sigmoid


def drawn(num_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(num_rows, 4))
    truth = columns @ np.array([1.5, -1.0, 0.0, 0.0]) + 0.5
    return columns, (rng.random(num_rows) < sigmoid(truth)).astype(float)


def test_it_finds_what_scikit_learn_finds() -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn has no wheel here")
    columns, target = drawn(300)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 300)

    ours = fit_logistic(columns, target, weights, 0.01)

    theirs = linear.LogisticRegression(C=1 / (0.01 * weights.sum()), tol=1e-10, max_iter=1000)
    theirs.fit(columns, target, sample_weight=weights)
    assert ours.weights == pytest.approx(theirs.coef_[0], abs=1e-4)
    assert ours.bias == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_a_start_elsewhere_leads_to_the_same_minimum() -> None:
    columns, target = drawn(200)
    weights = np.ones(200)

    far = fit_logistic(columns, target, weights, 1.0)
    near = fit_logistic(columns, target, weights, 0.1, far)

    assert near.weights == pytest.approx(
        fit_logistic(columns, target, weights, 0.1).weights, abs=1e-3
    )


def test_separable_rows_stay_finite() -> None:
    columns = np.array([[-1.0], [-2.0], [1.0], [2.0]]) * 1e3

    found = fit_logistic(columns, np.array([0.01, 0.01, 0.99, 0.99]), np.ones(4), 1e-9)

    assert np.isfinite(found.weights).all()
    assert found.log_odds(columns)[0] < 0 < found.log_odds(columns)[3]


def test_steps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_llm.confidence.calibration.logistic.MAX_STEPS", 1)
    columns, target = drawn(200)

    once = fit_logistic(columns, target, np.ones(200), 0.01)

    monkeypatch.undo()
    assert once.weights != pytest.approx(fit_logistic(columns, target, np.ones(200), 0.01).weights)


def test_a_step_that_leads_too_far_is_shortened() -> None:
    columns, target = drawn(60)
    away = fit_logistic(columns, target, np.ones(60), 1e-3)
    away.weights[:] = 40.0

    found = fit_logistic(columns, target, np.ones(60), 1e-3, away)

    straight = fit_logistic(columns, target, np.ones(60), 1e-3)
    assert found.weights == pytest.approx(straight.weights, abs=0.01)


def test_noise_gets_a_strong_penalty_and_a_signal_a_weak_one() -> None:
    columns, target = drawn(400)
    noise = np.random.default_rng(2).permutation(target)
    weights = np.ones(400)

    signal = cross_fit(columns, target, weights, make_folds(target, None, 0))
    none = cross_fit(columns, noise, weights, make_folds(noise, None, 0))

    assert none.penalty > signal.penalty
    assert np.abs(none.model.weights).max() < 0.3


def test_a_row_is_judged_by_models_that_did_not_see_it() -> None:
    columns, target = drawn(100)
    told = cross_fit(columns, target, np.ones(100), make_folds(target, None, 0)).log_odds
    flipped = target.copy()
    flipped[7] = 1.0 - flipped[7]
    folds = make_folds(target, None, 0)

    again = cross_fit(columns, flipped, np.ones(100), folds).log_odds

    mine = next(fold for fold in folds if 7 in fold)
    assert told[mine] == pytest.approx(again[mine], abs=1e-9)


def test_folds_hold_every_row_once_and_groups_whole() -> None:
    groups = np.repeat(np.arange(13), 3)
    target = np.tile([0.0, 1.0, 0.0], 13)

    folds = make_folds(target, groups, 3)

    assert sorted(np.concatenate(folds)) == list(range(39))
    assert all(
        len(np.intersect1d(groups[a], groups[b])) == 0 for a in folds for b in folds if a is not b
    )
    assert len(make_folds(np.zeros(3), None, 0)) == 3
