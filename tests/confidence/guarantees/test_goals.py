from collections.abc import Callable

import pytest

from edge_llm.confidence.guarantees.goals import AccuracyLoss, Budget, SelectiveError
from edge_llm.errors import InvalidParameterError


def test_a_single_calibration_may_be_half_above_by_default() -> None:
    assert AccuracyLoss().epsilon == 0.02
    assert AccuracyLoss().tail_epsilon == pytest.approx(0.03)
    assert AccuracyLoss(0.9).tail_epsilon == 1.0
    assert (AccuracyLoss().target, SelectiveError().target) == ("gain", "wrong")


@pytest.mark.parametrize(
    "make",
    [
        lambda: AccuracyLoss(0.0),
        lambda: AccuracyLoss(1.0),
        lambda: AccuracyLoss(0.02, tail_epsilon=0.01),
        lambda: AccuracyLoss(0.02, tail_delta=2.0),
        lambda: SelectiveError(alpha=-0.1),
        lambda: SelectiveError(delta=1.5),
        lambda: Budget(),
        lambda: Budget(escalation_rate=1.0),
        lambda: Budget(usd_per_request=0.0),
        lambda: Budget(usd_per_request=1.0, max_usd=float("inf")),
        lambda: Budget(0.5, delta=0.0),
    ],
)
def test_what_promises_nothing_or_all_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidParameterError):
        make()
