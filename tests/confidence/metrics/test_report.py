import numpy as np
import pytest

from edge_llm.confidence.metrics.report import curve_of, routing_quality
from edge_llm.confidence.outcomes import Outcomes

SCORES = np.array([0.9, 0.8, 0.1, 0.2])


def outcomes(**more: object) -> Outcomes:
    known: dict[str, object] = {
        "feature_names": ("x",),
        "features": {"end": np.zeros((4, 1))},
        "local_correct": [1, 1, 0, 0],
    }
    return Outcomes(**(known | more))  # type: ignore[arg-type]


def test_all_figures_of_four_requests() -> None:
    found = routing_quality(SCORES, outcomes(cloud_correct=[1, 0, 1, 1]))

    assert (found.auroc_wrong, found.auroc_gain) == (1.0, 1.0)
    assert (found.local_accuracy, found.cloud_accuracy) == (0.5, 0.75)
    assert found.apgr == pytest.approx(1.125)
    assert found.apgr_oracle == pytest.approx(1.375)
    assert found.apgr_detector == pytest.approx(1.25)
    assert found.apgr_normalised == pytest.approx(0.625 / 0.875)
    assert found.apgr_of_detector == pytest.approx(0.625 / 0.75)
    assert found.cpt[0.5] == pytest.approx(0.125)
    assert found.handoff[1.0] == pytest.approx(0.25)
    assert found.aiq is not None


@pytest.mark.parametrize("cloud", [None, [np.nan] * 4])
def test_without_the_cloud_only_wrong_answers_are_judged(cloud: object) -> None:
    found = routing_quality(SCORES, outcomes(cloud_correct=cloud))

    assert found.auroc_wrong == 1.0
    assert (found.auroc_gain, found.apgr, found.apgr_normalised, found.aiq) == (None,) * 4
    assert found.cpt == dict.fromkeys((0.2, 0.5, 0.8, 0.95))


def test_rows_that_the_cloud_was_not_asked_are_left_out_of_the_curve() -> None:
    rows = outcomes(
        cloud_correct=[1, np.nan, 1, 1],
        weights=[1, 1, 2, 1],
        local_cost_usd=[0, 9, 0, 0],
        cloud_cost_usd=[1, 9, 1, 1],
    )

    curve = curve_of(SCORES, rows)

    assert curve is not None
    assert curve.share.tolist() == [0.0, 0.5, 0.75, 1.0]
    assert curve.cost[-1] == 1.0
