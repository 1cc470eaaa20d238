import math

import numpy as np
import pytest

from edge_llm.confidence.confidence_sequence import ConfidenceSequence
from edge_llm.errors import CalibrationDataError


@pytest.mark.parametrize("mean", [0.02, 0.5])
def test_the_mean_is_inside_at_all_times_at_once(mean: float) -> None:
    rng = np.random.default_rng(0)

    missed = 0
    for _ in range(150):
        sequence = ConfidenceSequence(0.1)
        for value in (rng.random(400) < mean).tolist():
            sequence.update(value)
        # Its ends only close in, so that the last interval tells of all before.
        missed += not sequence.interval.low <= mean <= sequence.interval.high

    # 15 expected at most.
    assert missed <= 15


def test_little_variance_gives_a_narrow_interval() -> None:
    rng = np.random.default_rng(1)
    coin, steady = ConfidenceSequence(), ConfidenceSequence()
    for value in rng.random(2000):
        coin.update(float(value < 0.5))
        steady.update(0.5 + 0.01 * (value - 0.5))

    assert coin.interval.high - coin.interval.low < 0.15
    assert steady.interval.high - steady.interval.low < 0.03


def test_another_range_is_scaled() -> None:
    sequence = ConfidenceSequence(low=-2.0, high=2.0)
    assert math.isnan(sequence.interval.value)
    assert (sequence.interval.low, sequence.interval.high) == (-2.0, 2.0)

    sequence.update(1.0)

    assert sequence.interval.value == pytest.approx(1.0)
    with pytest.raises(CalibrationDataError, match=r"outside \[-2, 2\]"):
        sequence.update(2.1)
    with pytest.raises(CalibrationDataError, match="nan"):
        sequence.update(math.nan)
