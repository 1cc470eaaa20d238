import numpy as np
import pytest

from edge_llm.confidence.calibration.columns import LIMIT, fit_columns
from edge_llm.confidence.calibration.logistic import sigmoid
from edge_llm.confidence.calibration.mapping import ProbabilityMapping, fit_mapping, smoothed
from edge_llm.confidence.metrics.calibration_error import debiased_ece


def drawn(num_rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-odds that overstate, what came true, and the true probability."""
    rng = np.random.default_rng(seed)
    log_odds = 3.0 * rng.normal(size=num_rows)
    chance = sigmoid(0.4 * log_odds - 0.5)
    return log_odds, (rng.random(num_rows) < chance).astype(float), chance


@pytest.mark.parametrize(
    ("num_labels", "kind"),
    [(299, "platt"), (300, "venn_abers"), (999, "venn_abers"), (1000, "isotonic")],
)
def test_the_number_of_labels_decides(num_labels: int, kind: str) -> None:
    log_odds, target, _ = drawn(num_labels)

    found = fit_mapping(log_odds, target, np.ones(num_labels))

    assert found.kind == kind
    assert len(found.knots) <= 64 if kind != "isotonic" else len(found.knots) < 100


def test_few_of_the_rarer_kind_and_unequal_weights_count_as_few_labels() -> None:
    log_odds, target, _ = drawn(2000)
    rare = np.zeros(2000)
    rare[np.argsort(log_odds)[-20:]] = 1.0

    assert fit_mapping(log_odds, rare, np.ones(2000)).kind == "platt"
    assert fit_mapping(log_odds, target, np.where(np.arange(2000) < 100, 1.0, 1e-3)).kind == "platt"


@pytest.mark.parametrize("num_labels", [200, 600, 3000])
def test_probabilities_mean_what_they_say(num_labels: int) -> None:
    log_odds, target, _ = drawn(num_labels, 1)
    new, came_true, _ = drawn(20000, 2)

    told = fit_mapping(log_odds, target, np.ones(num_labels)).probabilities(new)

    assert debiased_ece(told, came_true) < 0.05
    assert debiased_ece(sigmoid(new), came_true) > 0.15


@pytest.mark.parametrize("num_labels", [200, 600, 3000])
def test_a_mapping_rises_strictly_and_is_the_same_one_by_one(num_labels: int) -> None:
    log_odds, target, _ = drawn(num_labels)
    mapping = fit_mapping(log_odds, target, np.ones(num_labels))
    points = np.linspace(-12, 12, 200)

    told = mapping.probabilities(points)

    assert (np.diff(told) > 0.0).all()
    assert told == pytest.approx([mapping.probability(one) for one in points], abs=1e-12)
    assert ((told > 0.0) & (told < 1.0)).all()


def test_an_order_that_is_upside_down_is_worth_the_share_alone() -> None:
    log_odds, target, _ = drawn(500)

    found = fit_mapping(-log_odds, target, np.ones(500))

    assert (found.kind, found.slope) == ("platt", 0.0)
    assert found.probability(3.0) == pytest.approx(target.mean(), abs=0.01)


def test_extreme_log_odds_do_not_overflow() -> None:
    mapping = ProbabilityMapping("platt", 1.0, 0.0)

    assert 0.0 < mapping.probability(-1e9) < 1e-12
    assert mapping.probabilities(np.array([1e9]))[0] < 1.0


def test_all_alike_is_still_not_certain() -> None:
    assert smoothed(np.ones(8), np.ones(8)).tolist() == pytest.approx([0.9] * 8)
    assert smoothed(np.zeros(8), np.ones(8)).tolist() == pytest.approx([0.1] * 8)


def test_columns_are_scaled_and_gaps_told() -> None:
    table = np.array([[1.0, 5.0, np.nan]] * 10 + [[3.0, 5.0, 2.0]] * 10)
    columns = fit_columns(table, np.ones(20))

    scaled = columns.transform(np.array([[1.0, 9.0, np.inf], [1e9, np.nan, 2.0]]))

    assert columns.gaps == (2,)
    assert scaled.tolist() == [[-1.0, 0.0, 0.0, 1.0], [LIMIT, 0.0, 0.0, 0.0]]
