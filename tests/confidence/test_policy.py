import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.confidence.policy import Policy, Thresholds

INF = float("inf")
POLICY = Policy(
    "gain",
    {
        "first": Thresholds(0.2, INF),
        "16": Thresholds(0.3, 0.9),
        "end": Thresholds(0.7, 0.7),
    },
)


def test_between_the_thresholds_a_draft_goes_on() -> None:
    assert POLICY.decide("first", 0.1) == "escalate"
    assert POLICY.decide("first", 1.0) == "continue"
    assert POLICY.decide("16", 0.9) == "keep"
    assert POLICY.decide("16", 0.5) == "continue"
    assert POLICY.decide("end", 0.7) == "keep"
    assert POLICY.decide("end", 0.6999) == "escalate"
    assert POLICY.threshold == 0.7


def test_a_checkpoint_it_does_not_know_decides_nothing() -> None:
    assert POLICY.decide("32", 0.0) == "continue"


def test_a_replay_with_a_checkpoint_missing_goes_on() -> None:
    done = POLICY.replay({"end": np.array([0.8, 0.1])})

    assert done.kept.tolist() == [True, False]
    assert done.checkpoint.tolist() == [2, 2]


@given(st.lists(st.tuples(*[st.sampled_from([0.1, 0.25, 0.5, 0.7, 0.95])] * 3), min_size=1))
def test_a_replay_is_what_deciding_one_by_one_gives(rows: list[tuple[float, ...]]) -> None:
    columns = np.array(rows)
    scores = {name: columns[:, index] for index, name in enumerate(POLICY.thresholds)}

    done = POLICY.replay(scores)

    for index, row in enumerate(rows):
        taken = [POLICY.decide(name, one) for name, one in zip(scores, row, strict=True)]
        where = next(place for place, one in enumerate(taken) if one != "continue")
        assert done.kept[index] == (taken[where] == "keep")
        assert done.checkpoint[index] == where
