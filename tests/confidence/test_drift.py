import json

import numpy as np
import pytest

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.drift import (
    DriftMonitor,
    DriftReference,
    drift_reference,
    read_reference,
    reference_record,
)
from edge_llm.errors import CalibrationDataError


def drawn(rng: np.random.Generator, num_scores: int, shift: float = 0.0) -> Floats:
    return np.asarray(1 / (1 + np.exp(-rng.normal(1.0 + shift, 1.0, num_scores))))


def detects_after(monitor: DriftMonitor, scores: Floats) -> int | None:
    for index, score in enumerate(scores.tolist()):
        if monitor.update(score):
            return index + 1
    return None


def test_bins_hold_equally_much_and_are_counted_on_the_other_part() -> None:
    reference = drift_reference(np.linspace(0, 1, 101), [0.1, 0.3, 0.3, 0.9], num_bins=4)

    assert reference.edges == pytest.approx((0.25, 0.5, 0.75))
    assert reference.counts == (1, 2, 0, 1)
    assert read_reference(json.loads(json.dumps(reference_record(reference)))) == reference


def test_false_alarms_are_as_rare_as_promised_however_long_one_looks() -> None:
    rng = np.random.default_rng(0)

    alarms = 0
    for seed in range(100):
        reference = drift_reference(drawn(rng, 200), drawn(rng, 200))
        monitor = DriftMonitor(reference, false_alarm=0.1, seed=seed)
        alarms += detects_after(monitor, drawn(rng, 1000)) is not None

    # 10 expected at most; 19 or more have probability 0.004.
    assert alarms < 19


@pytest.mark.parametrize("quiet", [0, 2000])
@pytest.mark.parametrize("change", ["lower", "higher", "wider", "narrower"])
def test_scores_that_move_are_noticed_early_and_late(quiet: int, change: str) -> None:
    rng = np.random.default_rng(1)
    monitor = DriftMonitor(drift_reference(drawn(rng, 500), drawn(rng, 500)))
    assert detects_after(monitor, drawn(rng, quiet)) is None
    moved = {
        "lower": drawn(rng, 1500, -1.0),
        "higher": drawn(rng, 1500, 1.0),
        "wider": np.where(rng.random(1500) < 0.5, 0.05, 0.99),
        "narrower": rng.uniform(0.70, 0.76, 1500),
    }[change]

    after = detects_after(monitor, moved)

    assert after is not None
    assert after <= 400
    assert monitor.e_value > 1.0


def test_one_score_for_all_is_no_drift() -> None:
    reference = drift_reference([0.5] * 50, [0.5] * 50)
    monitor = DriftMonitor(reference)

    assert reference.edges == (0.5,)
    assert detects_after(monitor, np.full(500, 0.5)) is None


def test_it_goes_on_where_it_was_stopped() -> None:
    rng = np.random.default_rng(2)
    reference = drift_reference(drawn(rng, 100), drawn(rng, 100))
    first = DriftMonitor(reference)
    for score in drawn(rng, 50, -1.0):
        first.update(score)

    second = DriftMonitor(reference)
    second.restore(json.loads(json.dumps(first.state())))

    assert second.state() == first.state()
    assert second.is_alarm == first.is_alarm


@pytest.mark.parametrize(
    "changed",
    [
        {"counts": [1]},
        {"counts": ["x"] * 4},
        {"counts": [-1, 1, 1, 1]},
        {"capital": [1.0]},
        {"capital": [float("nan")] * 8},
        {"num_scores": -1},
        {"peak": None},
    ],
)
def test_a_state_of_something_else_is_refused(changed: dict[str, object]) -> None:
    monitor = DriftMonitor(drift_reference(np.linspace(0, 1, 50), [0.5], num_bins=4))

    with pytest.raises(CalibrationDataError, match="no state"):
        monitor.restore(monitor.state() | changed)
    with pytest.raises(CalibrationDataError, match="no state"):
        monitor.restore({})


@pytest.mark.parametrize(
    "record",
    [None, {}, {"edges": [0.5], "counts": ["x", 1]}, {"edges": [float("inf")], "counts": [1, 1]}],
)
def test_a_reference_that_is_none_is_refused(record: object) -> None:
    with pytest.raises(CalibrationDataError, match="no reference"):
        read_reference(record)


def test_bins_that_do_not_fit_are_refused() -> None:
    for edges, counts in (((0.5,), (1,)), ((0.5, 0.4), (1, 1, 1)), ((0.5,), (1, -1))):
        with pytest.raises(CalibrationDataError, match="do not fit"):
            DriftReference(edges, counts)
    with pytest.raises(CalibrationDataError, match="no scores"):
        drift_reference([], [0.5])
