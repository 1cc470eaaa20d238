from typing import Any

import numpy as np
import pytest

from edge_llm.confidence.outcomes import Outcomes
from edge_llm.errors import CalibrationDataError
from tests.support.outcomes import drawn_outcomes, plain_outcomes


def test_gain_is_what_the_cloud_does_better() -> None:
    rows = plain_outcomes([1, 0, 0, 0.5, 1], [1, 1, 0, 0.75, 0])

    assert rows.gain.tolist() == [0, 1, 0, 0.25, 0]
    assert rows.wrong.tolist() == [0, 1, 1, 0.5, 0]


def test_without_the_cloud_whatever_is_wrong_could_be_gained() -> None:
    assert plain_outcomes([1, 0]).gain.tolist() == [0, 1]
    never = plain_outcomes([1, 0], [np.nan, np.nan])
    assert not never.has_cloud
    assert never.gain.tolist() == [0, 1]


def test_where_the_cloud_was_not_asked_the_gain_is_not_known() -> None:
    gain = plain_outcomes([1, 0], [np.nan, 1]).gain

    assert np.isnan(gain[0])
    assert gain[1] == 1


def test_rows_are_chosen_in_every_column() -> None:
    rows = drawn_outcomes(50)

    some = rows.select(np.array([3, 1]))

    assert some.local_correct.tolist() == rows.local_correct[[3, 1]].tolist()
    np.testing.assert_array_equal(some.features["16"], rows.features["16"][[3, 1]])
    np.testing.assert_array_equal(some.spent_tokens["16"], rows.spent_tokens["16"][[3, 1]])
    assert some.weights is None


def test_a_split_is_seeded_and_leaves_nothing_out() -> None:
    rows = plain_outcomes(np.linspace(0, 1, 11))

    first, second = rows.split(0.4, seed=5)
    again, _ = rows.split(0.4, seed=5)

    assert (len(first), len(second)) == (4, 7)
    assert sorted([*first.local_correct, *second.local_correct]) == sorted(rows.local_correct)
    assert again.local_correct.tolist() == first.local_correct.tolist()


def test_a_group_is_in_one_part_only() -> None:
    rows = plain_outcomes(np.zeros(40), groups=np.repeat(np.arange(10), 4))

    first, second = rows.split(0.5)

    assert first.groups is not None
    assert second.groups is not None
    assert not set(first.groups) & set(second.groups)
    assert len(first) == 20


def test_a_checkpoint_is_reached_where_tokens_were_spent() -> None:
    rows = drawn_outcomes(40)

    assert rows.checkpoints == ("first", "16", "end")
    assert rows.reached("end").all()
    assert rows.reached("16").tolist() == (~np.isnan(rows.spent_tokens["16"])).tolist()
    assert plain_outcomes([1]).reached("end").all()
    assert plain_outcomes([1]).weight().tolist() == [1.0]
    assert plain_outcomes([1, 1], weights=[2, 3]).weight().tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"local_correct": [0.5, 2]}, "local_correct: values outside"),
        ({"local_correct": [0.5, np.nan]}, "local_correct: values outside"),
        ({"local_correct": ["yes", "no"]}, "local_correct: not numbers"),
        ({"local_correct": [[1, 0]]}, "local_correct: 2 dimensions"),
        ({"cloud_correct": [1]}, "cloud_correct: 1 values for 2 rows"),
        ({"cloud_correct": [1, -1]}, "cloud_correct: values outside"),
        ({"weights": [1, 0]}, "weights: values that are"),
        ({"cloud_cost_usd": [1, -1]}, "cloud_cost_usd: values that are"),
        ({"local_latency_s": [1, np.inf]}, "local_latency_s: values that are"),
        ({"groups": [1]}, "groups: shape"),
        ({"features": {}}, "no checkpoint"),
        ({"features": {"end": np.zeros((2, 3))}}, "features at 'end': shape"),
        ({"spent_tokens": {"16": np.ones(2)}}, "spent_tokens: '16'"),
        ({"spent_tokens": {"end": np.ones(3)}}, "spent_tokens: 'end'"),
    ],
)
def test_columns_that_do_not_fit_are_named(changed: dict[str, Any], said: str) -> None:
    known = {
        "feature_names": (),
        "features": {"end": np.zeros((2, 0))},
        "local_correct": [1, 0],
    }
    with pytest.raises(CalibrationDataError, match=said):
        Outcomes(**(known | changed))


def test_two_rows_cannot_be_split_unevenly() -> None:
    with pytest.raises(CalibrationDataError, match="cannot be split"):
        plain_outcomes([1, 0]).split(0.1)
