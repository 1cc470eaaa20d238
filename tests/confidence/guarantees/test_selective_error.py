import numpy as np
import pytest

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.certify import certify, measured_threshold
from edge_llm.confidence.guarantees.goals import SelectiveError
from edge_llm.confidence.metrics.intervals import violation_rate
from tests.support.outcomes import plain_outcomes

GOAL = SelectiveError(0.1, 0.1)
GRID = np.linspace(0.0, 1.0, 101)


def drawn(num_rows: int, skill: float, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    wrong = rng.random(num_rows) < 0.25
    scores = 1 / (1 + np.exp(skill * (wrong - 0.5) + rng.normal(size=num_rows)))
    return scores, (~wrong).astype(float)


@pytest.mark.parametrize("grid", [GRID, None])
@pytest.mark.parametrize("skill", [0.5, 1.2, 2.5])
def test_errors_among_kept_answers_pass_alpha_rarely(skill: float, grid: Floats | None) -> None:
    scores, local = drawn(8000, skill, 1)
    rng = np.random.default_rng(2)

    realised = []
    for _ in range(100):
        order = rng.permutation(8000)
        mine, new = order[:500], order[500:]
        found = certify(scores[mine], plain_outcomes(local[mine]), GOAL, grid=grid)
        if isinstance(found, Infeasible):
            realised.append(0.0)
        else:
            kept = scores[new] >= found.policy.threshold
            realised.append(1.0 - float(local[new][kept].mean()))

    assert violation_rate(realised, 0.1).value <= 0.1


def test_a_good_score_keeps_nearly_what_could_be_kept() -> None:
    scores, local = drawn(1000, 2.5, 3)

    found = certify(scores, plain_outcomes(local), GOAL, grid=GRID)

    assert isinstance(found, Certificate)
    best = measured_threshold(scores, plain_outcomes(local), GOAL)
    assert 0.85 * (scores >= best).mean() < found.kept_share <= (scores >= best).mean()
    assert found.risk < found.risk_bound == 0.1
    assert found.policy.target == "wrong"


def test_all_right_is_certified_and_all_wrong_never() -> None:
    scores = np.linspace(0, 1, 200)

    fine = certify(scores, plain_outcomes(np.ones(200)), GOAL, grid=GRID)
    never = certify(scores, plain_outcomes(np.zeros(200)), GOAL, grid=GRID)

    assert isinstance(fine, Certificate)
    assert fine.kept_share == 1.0
    assert isinstance(never, Infeasible)
    assert never.labels_needed is None
    assert never.level_reachable is None or never.level_reachable >= 0.99
    assert never.local_accuracy_needed == pytest.approx(0.9)
    assert "more labels would not help" in never.advice[0]


@pytest.mark.parametrize("grid", [GRID, None])
def test_too_few_labels_are_counted(grid: Floats | None) -> None:
    found = certify(np.ones(20), plain_outcomes(np.ones(20)), GOAL, grid=grid)

    assert isinstance(found, Infeasible)
    assert found.labels_needed == 66
    enough = certify(np.ones(66), plain_outcomes(np.ones(66)), GOAL, grid=GRID)
    assert isinstance(enough, Certificate)


def test_the_labels_that_it_asks_for_are_enough_and_so_is_the_level() -> None:
    local = np.ones(100)
    local[:6] = 0.0

    found = certify(np.ones(100), plain_outcomes(local), GOAL, grid=GRID)

    assert isinstance(found, Infeasible)
    assert found.labels_needed is not None
    assert found.level_reachable is not None
    more = np.ones(found.labels_needed)
    more[: round(0.06 * len(more))] = 0.0
    assert isinstance(
        certify(np.ones(len(more)), plain_outcomes(more), GOAL, grid=GRID), Certificate
    )
    laxer = SelectiveError(found.level_reachable, 0.1)
    assert isinstance(certify(np.ones(100), plain_outcomes(local), laxer, grid=GRID), Certificate)


def test_barely_right_enough_would_take_too_many_labels() -> None:
    local = np.ones(100_000)
    local[:9_999] = 0.0

    found = certify(np.ones(100_000), plain_outcomes(local), GOAL, grid=GRID)

    assert isinstance(found, Infeasible)
    assert found.labels_needed is None


def test_a_failed_sequence_does_not_end_the_next() -> None:
    # The surest 100 are often wrong, all others never: the sequence that starts at half passes.
    scores = np.r_[np.linspace(1.0, 0.9, 100), np.linspace(0.8, 0.0, 900)]
    local = np.r_[np.tile([1, 1, 0], 34)[:100], np.ones(900)].astype(float)

    found = certify(scores, plain_outcomes(local), GOAL, grid=GRID)

    assert isinstance(found, Certificate)
    assert found.kept_share == 1.0


def test_weighted_and_graded_rows_are_tested_by_an_inequality() -> None:
    rng = np.random.default_rng(4)
    local = np.where(rng.random(3000) < 0.97, 1.0, 0.5)
    weights = rng.choice([1.0, 2.0], 3000)

    found = certify(rng.random(3000), plain_outcomes(local, weights=weights), GOAL, grid=GRID)

    assert isinstance(found, Certificate)
    assert found.kept_share == 1.0
    assert found.risk == pytest.approx(0.015, abs=0.01)
