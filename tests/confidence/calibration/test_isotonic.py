import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.confidence.calibration.isotonic import merge_equal, pool_adjacent_violators
from edge_llm.confidence.calibration.venn_abers import venn_abers


def test_two_that_fall_become_their_mean() -> None:
    found = pool_adjacent_violators(np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 3.0, 1.0]))

    assert found.tolist() == [0.0, 0.25, 0.25, 1.0]


def test_equal_scores_become_one_row() -> None:
    scores, means, weights = merge_equal(
        np.array([2.0, 1.0, 2.0]), np.array([1.0, 0.0, 0.0]), np.array([1.0, 1.0, 3.0])
    )

    assert (scores.tolist(), means.tolist(), weights.tolist()) == ([1, 2], [0, 0.25], [1, 4])


ROWS = st.lists(
    st.tuples(st.integers(0, 9), st.booleans(), st.integers(1, 3)), min_size=2, max_size=40
)


@given(ROWS)
def test_it_is_what_scikit_learn_computes(rows: list[tuple[int, bool, int]]) -> None:
    isotonic = pytest.importorskip("sklearn.isotonic", reason="scikit-learn has no wheel here")
    columns = np.array(rows, float).T
    _, means, weights = merge_equal(*columns)

    ours = pool_adjacent_violators(means, weights)

    theirs = isotonic.isotonic_regression(means, sample_weight=weights)
    assert ours == pytest.approx(theirs, abs=1e-9)


@given(ROWS)
def test_venn_abers_is_two_fits_with_the_object_put_in(rows: list[tuple[int, bool, int]]) -> None:
    scores, means, weights = merge_equal(*np.array(rows, float).T)
    at = np.arange(len(scores))

    found = venn_abers(means, weights, at)

    for index in at:
        fitted = []
        for label in (0.0, 1.0):
            more = weights.copy()
            more[index] += 1.0
            moved = means.copy()
            moved[index] = (means[index] * weights[index] + label) / more[index]
            fitted.append(pool_adjacent_violators(moved, more)[index])
        expected = fitted[1] / (1.0 - fitted[0] + fitted[1])
        assert found[index] == pytest.approx(expected, abs=1e-9)
    assert (np.diff(found) >= -1e-9).all()
    assert ((found > 0.0) & (found < 1.0)).all()
