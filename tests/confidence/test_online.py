import math

import numpy as np
import pytest

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.online import OnlineThreshold, share_at, step_for
from edge_llm.errors import CalibrationDataError

QUANTILES = np.linspace(0.0, 1.0, 101)


def test_a_loss_lifts_the_threshold_and_quiet_lowers_it() -> None:
    online = OnlineThreshold(QUANTILES, 0.02, share=0.5, step=0.1)

    assert online.threshold == pytest.approx(0.5)
    assert online.update() == pytest.approx(0.498)
    assert online.update(1.0, 0.5) == pytest.approx(0.498 + 0.1 * (2 - 0.02))


@pytest.mark.parametrize("quantiles", [QUANTILES, QUANTILES**2, np.array([0.1, 0.5, 0.5, 0.9])])
def test_it_starts_at_the_certified_threshold(quantiles: Floats) -> None:
    for threshold in (0.3, 0.5, 0.7917):
        online = OnlineThreshold(quantiles, 0.02, share_at(threshold, quantiles))

        assert online.threshold == pytest.approx(threshold, abs=1e-12)


def test_at_the_ends_all_or_none_are_kept() -> None:
    assert OnlineThreshold(QUANTILES, 0.02, share=0.0).update() == 0.0
    assert OnlineThreshold(QUANTILES, 0.02, share=1.2).threshold == math.nextafter(1.0, 2.0)


def test_what_is_lost_stays_within_epsilon_while_the_world_changes() -> None:
    rng = np.random.default_rng(0)
    rho, epsilon, step, num_requests = 0.1, 0.05, 0.02, 20_000
    online = OnlineThreshold(QUANTILES, epsilon, share=0.2, step=step)
    lost = weighted = 0.0

    for time in range(num_requests):
        # From the middle on the score tells nothing, and half of the answers are wrong.
        score, drifted = rng.random(), time > num_requests / 2
        loss = float(rng.random() < (0.5 if drifted else 0.3 * (1 - score)))
        if score < online.threshold:
            online.update()
        elif rng.random() < rho:
            weighted += loss / rho
            lost += loss
            online.update(loss, rho)
        else:
            lost += loss
            online.update()

    assert weighted / num_requests <= epsilon + (1 + step / rho) / (step * num_requests)
    assert lost / num_requests <= epsilon + 0.005


@pytest.mark.parametrize(("loss", "propensity"), [(2.0, 0.5), (0.5, 0.0), (float("nan"), 1.0)])
def test_a_loss_that_is_none_is_refused(loss: float, propensity: float) -> None:
    with pytest.raises(CalibrationDataError, match="seen with"):
        OnlineThreshold(QUANTILES, 0.02, share=0.5).update(loss, propensity)


@pytest.mark.parametrize("rho", [0.001, 0.01, 0.1, 1.0])
def test_one_loss_among_few_checks_does_not_give_up_all_that_is_kept(rho: float) -> None:
    online = OnlineThreshold(QUANTILES, 0.02, share=0.3, step=step_for(rho))

    assert 0.3 < online.update(1.0, rho) <= 0.351
