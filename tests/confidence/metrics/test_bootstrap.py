import numpy as np
import pytest

from edge_llm.confidence.arrays import Indices
from edge_llm.confidence.metrics.bootstrap import bootstrap
from edge_llm.errors import CalibrationDataError


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(size=400)

    found = bootstrap(lambda rows: float(values[rows].mean()), 400)

    assert found is not None
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_what_two_figures_share_cancels() -> None:
    values = np.random.default_rng(0).normal(size=100)
    better = values + 0.01

    found = bootstrap(lambda rows: float(better[rows].mean() - values[rows].mean()), 100)

    assert found == pytest.approx((0.01, 0.01, 0.01))


def test_rows_of_a_group_are_drawn_together() -> None:
    values = np.repeat([0.0, 1.0], 50)
    groups = np.repeat([7, 3], 50)

    found = bootstrap(lambda rows: float(values[rows].mean()), 100, groups=groups)

    assert found is not None
    assert (found.low, found.high) == (0.0, 1.0)


def test_a_figure_that_is_not_defined_has_no_interval() -> None:
    assert bootstrap(lambda _: None, 3) is None

    def only_of_all(rows: Indices) -> float | None:
        return 1.0 if rows.tolist() == list(range(50)) else None

    found = bootstrap(only_of_all, 50, resamples=3)
    assert found is not None
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_no_rows_and_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CalibrationDataError, match="no rows"):
        bootstrap(lambda _: 1.0, 0)
    with pytest.raises(CalibrationDataError, match="groups"):
        bootstrap(lambda _: 1.0, 3, groups=[1, 2])
