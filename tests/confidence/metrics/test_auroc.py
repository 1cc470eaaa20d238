import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.confidence.metrics.auroc import auroc
from edge_llm.errors import CalibrationDataError


@pytest.mark.parametrize(
    ("scores", "right", "expected"),
    [
        ([0.9, 0.8, 0.1], [True, True, False], 1.0),
        ([0.1, 0.9], [True, False], 0.0),
        ([0.5, 0.5, 0.5, 0.5], [True, False, True, False], 0.5),
        ([3.0, 1.0, 2.0, 2.0], [True, False, True, False], 0.875),
    ],
)
def test_auroc_is_the_chance_that_right_scores_higher(
    scores: list[float], right: list[bool], expected: float
) -> None:
    assert auroc(scores, right) == expected


def test_auroc_of_one_kind_alone_is_nothing() -> None:
    assert auroc([0.1, 0.2], [True, True]) is None
    assert auroc([], []) is None


def test_a_graded_answer_counts_for_both_sides() -> None:
    assert auroc([1.0, 2.0], [0.25, 0.75]) == auroc(
        [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0], [1, 0, 0, 0, 1, 1, 1, 0]
    )


def test_scores_and_labels_must_fit_together() -> None:
    with pytest.raises(CalibrationDataError, match="3 values for 2 rows"):
        auroc([1.0, 2.0, 3.0], [True, False])


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.booleans(), st.integers(1, 4)), min_size=2, max_size=40
    )
)
def test_it_is_what_scikit_learn_computes(rows: list[tuple[int, bool, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn has no wheel here")
    scores, right, weights = map(np.array, zip(*rows, strict=True))
    ours = auroc(scores, right, weights)

    if right.all() or not right.any():
        assert ours is None
    else:
        theirs = metrics.roc_auc_score(right, scores, sample_weight=weights)
        assert ours == pytest.approx(theirs, abs=1e-12)
