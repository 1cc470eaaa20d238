import pytest

from edge_llm.confidence.metrics.risk_coverage import excess_aurc, rejection_ratio, risk_coverage


def test_aurc_of_four_answers_worked_by_hand() -> None:
    curve = risk_coverage([0.9, 0.7, 0.8, 0.1], [1, 0, 1, 0])

    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert curve.aurc() == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert curve.accuracy_at(0.75) == pytest.approx(2 / 3)
    assert curve.accuracy_at(0.0) == 1.0


def test_equal_scores_stand_for_a_random_order() -> None:
    assert risk_coverage([0.5, 0.5], [1, 0]).risk.tolist() == [0.5, 0.5]
    assert risk_coverage([0.5, 0.5, 0.9], [1, 0, 1]).risk.tolist() == pytest.approx(
        [0, 0.25, 1 / 3]
    )


def test_a_perfect_order_has_no_excess_and_the_whole_ratio() -> None:
    assert excess_aurc([3, 2, 1], [1, 1, 0]) == 0.0
    assert rejection_ratio([3, 2, 1], [1, 1, 0]) == 1.0
    assert rejection_ratio([1, 1, 1], [1, 1, 0]) == pytest.approx(0.0)
    assert rejection_ratio([1, 2], [1, 1]) is None
