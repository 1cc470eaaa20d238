import pytest

from edge_llm.confidence.metrics.intervals import violation_rate, wilson
from edge_llm.errors import CalibrationDataError


def test_the_score_interval_of_a_textbook() -> None:
    # Newcombe 1998, table I: 81 of 263, and 0 of 20.
    assert wilson(81, 263) == pytest.approx((81 / 263, 0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.0, 0.1611), abs=1e-4)
    assert wilson(20, 20).high == 1.0


@pytest.mark.parametrize(("successes", "total"), [(0, 0), (3, 2), (-1, 5), (float("nan"), 5)])
def test_what_is_no_share_is_refused(successes: float, total: float) -> None:
    with pytest.raises(CalibrationDataError, match="no share"):
        wilson(successes, total)


def test_a_bound_is_violated_above_it_only() -> None:
    assert violation_rate([0.01, 0.02, 0.03, 0.04], 0.02).value == 0.5
