import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.confidence.metrics.deferral import (
    deferral_curve,
    detector_curve,
    normalised_apgr,
    oracle_curve,
)
from edge_llm.errors import CalibrationDataError

# Four requests: local right at two, cloud right at three.
LOCAL = [1.0, 1.0, 0.0, 0.0]
CLOUD = [1.0, 0.0, 1.0, 1.0]


def test_the_curve_of_four_requests_worked_by_hand() -> None:
    curve = deferral_curve([0.9, 0.8, 0.1, 0.2], LOCAL, CLOUD)

    assert curve.share.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert curve.accuracy.tolist() == [0.5, 0.75, 1.0, 0.75, 0.75]
    assert curve.recovered is not None
    assert curve.recovered.tolist() == [0.0, 1.0, 2.0, 1.0, 1.0]
    # Trapezoids of width 1/4: 0.5, 1.5, 1.5, 1.
    assert curve.apgr() == pytest.approx(4.5 / 4)
    assert curve.share_for_gap(0.5) == pytest.approx(0.125)
    assert curve.share_for_accuracy(1.0) == pytest.approx(0.25)
    assert curve.accuracy_at(0.125) == pytest.approx(0.625)
    assert (curve.local_accuracy, curve.cloud_accuracy) == (0.5, 0.75)


def test_one_score_for_all_is_random_escalation() -> None:
    curve = deferral_curve([0.5] * 4, LOCAL, CLOUD)

    assert curve.apgr() == 0.5
    assert curve.share_for_gap(0.8) == pytest.approx(0.8)


def test_knowing_what_is_gained_beats_knowing_what_is_wrong() -> None:
    local, cloud = [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]

    oracle, detector = oracle_curve(local, cloud).apgr(), detector_curve(local, cloud).apgr()

    # PGR rises to 1 over the first half; over three quarters for the detector.
    assert oracle == pytest.approx(0.75)
    assert detector == pytest.approx(0.625)
    assert normalised_apgr(0.625, 0.75) == pytest.approx(0.5)
    assert normalised_apgr(0.625, 0.5) is None


def test_a_cloud_that_is_no_better_leaves_no_gap() -> None:
    curve = deferral_curve([0.1, 0.9], [1.0, 1.0], [1.0, 0.0])

    assert curve.recovered is None
    assert curve.apgr() is None
    assert curve.share_for_gap(0.5) is None
    assert curve.share_for_accuracy(1.0) == 0.0


def test_the_clouds_accuracy_is_reached_at_the_latest_with_everything_escalated() -> None:
    curve = deferral_curve([0.9, 0.1], [0.0, 1.0], [1.0, 1.0])

    assert curve.share_for_accuracy(1.0) == 1.0
    assert curve.share_for_accuracy(1.5) is None


def test_the_hull_ignores_what_costs_more_for_less() -> None:
    curve = deferral_curve(
        [0.1, 0.2, 0.9], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0], local_cost=[1, 1, 1], cloud_cost=[3] * 3
    )

    # Points (1, 1/3), (2, 2/3), (3, 1/3), (4, 2/3): flat at 2/3 from cost 2 on.
    assert curve.cost.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert curve.aiq() == pytest.approx((0.5 + 2 / 3 + 2 / 3) / 3)


def test_a_point_below_the_line_of_its_neighbours_is_left_out() -> None:
    curve = deferral_curve([1, 2, 3], [0, 0, 0], [0.0, 1.0, 1.0])

    # (0, 0), (1/3, 0), (2/3, 1/3), (1, 2/3): a straight line at the end, the first corner below it.
    assert curve.aiq() == pytest.approx(1 / 3)


def test_without_a_range_of_costs_there_is_no_aiq() -> None:
    assert deferral_curve([1, 2], [0, 1], [1, 1], cloud_cost=[0, 0]).aiq() is None


def test_weights_count_as_copies() -> None:
    weighted = deferral_curve([1, 2, 3], [0, 1, 1], [1, 1, 0], weights=[2, 1, 1])
    copied = deferral_curve([1, 1, 2, 3], [0, 0, 1, 1], [1, 1, 1, 0])

    assert weighted.apgr() == pytest.approx(copied.apgr())
    assert oracle_curve([0, 1], [1, 1], [3, 1]).local_accuracy == 0.25


def test_no_rows_are_refused() -> None:
    with pytest.raises(CalibrationDataError, match="no rows"):
        deferral_curve([], [], [])


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=2, max_size=30)
)
def test_no_score_beats_the_oracle(rows: list[tuple[int, bool, bool]]) -> None:
    scores, local, cloud = (np.array(column, float) for column in zip(*rows, strict=True))
    curve, best = deferral_curve(scores, local, cloud), oracle_curve(local, cloud)

    assert np.all(np.interp(curve.share, best.share, best.accuracy) >= curve.accuracy - 1e-9)
    aiq = curve.aiq()
    assert aiq is not None
    assert aiq >= np.trapezoid(curve.accuracy, curve.share) - 1e-9
