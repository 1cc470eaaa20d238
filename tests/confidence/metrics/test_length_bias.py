import numpy as np
import pytest

from edge_llm.confidence.metrics.length_bias import length_bias, ranks


def test_a_score_that_is_only_length_is_found_out() -> None:
    length = np.arange(1.0, 41.0)
    right = np.arange(40) % 2

    found = length_bias(1 / length, right, length)

    assert (found.when_right, found.when_wrong) == pytest.approx((-1.0, -1.0))
    assert len(found.bins) == 10
    assert found.bins[0].num_answers == 4
    assert (found.bins[0].min_tokens, found.bins[0].max_tokens) == (1, 4)
    assert found.bins[0].accuracy == 0.5
    assert found.bins[0].confidence == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)


def test_too_few_or_equal_answers_say_nothing() -> None:
    found = length_bias([0.5, 0.5, 0.5, 0.1], [1, 1, 1, 0], [1, 2, 3, 4], num_bins=1)

    assert (found.when_right, found.when_wrong) == (None, None)


def test_equal_values_share_a_rank() -> None:
    assert ranks(np.array([5.0, 1.0, 5.0])).tolist() == [2.5, 1.0, 2.5]
