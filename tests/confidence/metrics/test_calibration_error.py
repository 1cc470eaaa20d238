import math

import numpy as np
import pytest

from edge_llm.confidence.metrics.calibration_error import (
    adaptive_ece,
    brier,
    debiased_ece,
    debiased_rms,
    log_loss,
    reliability,
)
from edge_llm.errors import CalibrationDataError


def test_bins_hold_equally_many_rows_and_equal_probabilities_share_one() -> None:
    table = reliability([0.1, 0.2, 0.8, 0.9], [0, 1, 1, 1], num_bins=2)

    assert table.count.tolist() == [2.0, 2.0]
    assert table.predicted.tolist() == pytest.approx([0.15, 0.85])
    assert table.observed.tolist() == [0.5, 1.0]
    assert reliability([0.3] * 10, [1] * 10, num_bins=5).count.tolist() == [10.0]


def test_ece_of_two_bins_worked_by_hand() -> None:
    assert adaptive_ece([0.1, 0.2, 0.8, 0.9], [0, 1, 1, 1], num_bins=2) == pytest.approx(0.25)


def test_what_chance_adds_is_taken_off() -> None:
    rng = np.random.default_rng(1)
    told = rng.random(2000)
    came_true = rng.random(2000) < told

    assert debiased_ece(told, came_true) < 0.75 * adaptive_ece(told, came_true)
    assert debiased_rms(told, came_true) < 0.75 * adaptive_ece(told, came_true)


def test_a_true_gap_stays() -> None:
    rng = np.random.default_rng(2)
    told = rng.random(20000) * 0.8
    came_true = rng.random(20000) < told + 0.1

    assert debiased_ece(told, came_true) == pytest.approx(0.1, abs=0.012)
    assert debiased_rms(told, came_true) == pytest.approx(0.1, abs=0.012)


def test_bins_that_are_certain_add_no_chance() -> None:
    assert debiased_ece([0.25] * 4, [1] * 4) == pytest.approx(0.75)


def test_brier_and_log_loss_worked_by_hand() -> None:
    assert brier([0.5, 0.9], [0, 1]) == pytest.approx((0.25 + 0.01) / 2)
    assert log_loss([0.5, 0.9], [0, 1]) == pytest.approx(-(math.log(0.5) + math.log(0.9)) / 2)
    assert log_loss([1.0], [0]) == pytest.approx(27.63, abs=0.01)


def test_no_probability_is_above_one() -> None:
    with pytest.raises(CalibrationDataError, match=r"outside \[0, 1\]"):
        brier([1.5], [1])
