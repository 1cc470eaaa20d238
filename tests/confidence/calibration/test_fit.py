from dataclasses import replace

import numpy as np
import pytest

from edge_llm.confidence.calibration.binding import Binding, check_binding
from edge_llm.confidence.calibration.fit import fit_calibration
from edge_llm.confidence.metrics.auroc import auroc
from edge_llm.confidence.metrics.calibration_error import debiased_ece
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.errors import CalibrationDataError, CalibrationMismatchError
from tests.support.outcomes import BINDING, drawn_outcomes, plain_outcomes


@pytest.mark.parametrize(("num_labels", "largest"), [(500, 0.05), (1000, 0.03)])
def test_calibration_error_on_new_rows(num_labels: int, largest: float) -> None:
    new = drawn_outcomes(10_000, 99)

    errors = []
    for seed in range(3):
        calibration = fit_calibration(drawn_outcomes(num_labels, seed), BINDING)
        for target, truth in (("wrong", new.wrong), ("gain", new.gain)):
            told = 1.0 - calibration.scores(new, target)["end"]  # type: ignore[arg-type]
            errors.append(debiased_ece(told, truth))

    assert np.mean(errors) <= largest


def test_each_checkpoint_knows_what_it_can() -> None:
    new = drawn_outcomes(4000, 5)

    calibration = fit_calibration(drawn_outcomes(800, 4), BINDING)

    scores = calibration.scores(new, "wrong")
    assert list(scores) == ["first", "16", "end"]
    assert (np.isnan(scores["16"]) == np.isnan(new.spent_tokens["16"])).all()
    area = [
        auroc(score[~np.isnan(score)], new.local_correct[~np.isnan(score)])
        for score in scores.values()
    ]
    assert area[0] is not None
    assert area[2] is not None
    assert 0.7 < area[0] < area[2]
    assert calibration.num_labels == 800


def test_one_draft_is_judged_as_all_are() -> None:
    rows = drawn_outcomes(400)
    rows.features["end"][::7, 0] = np.nan
    calibration = fit_calibration(rows, BINDING)
    wrong, gain = (calibration.scores(rows, target)["end"] for target in ("wrong", "gain"))

    for index in range(50):
        judged = calibration.judge("end", rows.features["end"][index])
        assert judged is not None
        assert judged.score("wrong") == pytest.approx(wrong[index], abs=1e-12)
        assert judged.score("gain") == pytest.approx(gain[index], abs=1e-12)
        assert calibration.confidence("end", rows.features["end"][index]) == judged.confidence
        assert calibration.gain("end", list(rows.features["end"][index])) == judged.gain


def test_a_checkpoint_that_was_not_fitted_judges_nothing() -> None:
    calibration = fit_calibration(drawn_outcomes(100), BINDING)

    assert calibration.judge("64", [0.0, 0.0, 0.0]) is None
    assert calibration.confidence("64", [0.0, 0.0, 0.0]) is None
    assert calibration.gain("64", [0.0, 0.0, 0.0]) is None


def test_other_features_are_refused() -> None:
    rows = drawn_outcomes(100)
    calibration = fit_calibration(rows, BINDING)

    with pytest.raises(CalibrationDataError, match=r"shape \(2,\) for 3"):
        calibration.judge("end", [0.0, 1.0])
    with pytest.raises(CalibrationDataError, match="the features"):
        calibration.scores(replace(rows, feature_names=("a", "b", "c")), "wrong")


def test_a_checkpoint_that_the_outcomes_lack_has_no_scores() -> None:
    rows = drawn_outcomes(100)
    calibration = fit_calibration(rows, BINDING)
    only = Outcomes(
        feature_names=rows.feature_names,
        features={"end": rows.features["end"]},
        local_correct=rows.local_correct,
    )

    assert list(calibration.scores(only, "wrong")) == ["end"]


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_that_are_all_alike_give_a_constant_inside_the_ends(label: float) -> None:
    rows = drawn_outcomes(60)
    alike = replace(rows, local_correct=np.full(60, label), cloud_correct=None)

    calibration = fit_calibration(alike, BINDING)

    confidence = calibration.scores(alike, "wrong")["end"]
    assert confidence == pytest.approx([(60 * label + 1) / 62] * 60, abs=1e-3)
    assert calibration.checkpoints["end"].gain is None
    assert calibration.scores(alike, "gain")["end"].tolist() == confidence.tolist()


def test_a_checkpoint_that_few_reached_is_left_out() -> None:
    rows = drawn_outcomes(100)
    spent = np.where(np.arange(100) < 29, 16.0, np.nan)
    some = replace(rows, spent_tokens={"16": spent})

    assert list(fit_calibration(some, BINDING).checkpoints) == ["first", "end"]


def test_few_answers_of_the_cloud_give_no_gain() -> None:
    rows = drawn_outcomes(100)
    cloud = np.where(np.arange(100) < 29, 1.0, np.nan)

    calibration = fit_calibration(replace(rows, cloud_correct=cloud), BINDING)

    assert calibration.checkpoints["end"].gain is None


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(CalibrationDataError, match="29 labels are too few"):
        fit_calibration(plain_outcomes(np.ones(29)), BINDING)


def test_a_seed_gives_the_same_calibration_and_weights_count() -> None:
    rows = drawn_outcomes(200)
    first, again = (fit_calibration(rows, BINDING, seed=3) for _ in range(2))
    weights = np.where(rows.local_correct > 0.5, 1.0, 3.0)
    heavier = fit_calibration(replace(rows, weights=weights), BINDING)

    one, other = (c.scores(rows, "wrong")["end"] for c in (first, again))
    assert one.tolist() == other.tolist()
    assert heavier.scores(rows, "wrong")["end"].mean() < one.mean() - 0.1


def test_features_without_any_value_are_left_alone() -> None:
    rows = drawn_outcomes(100)
    for table in rows.features.values():
        table[:, 2] = np.nan

    calibration = fit_calibration(rows, BINDING)

    assert calibration.confidence("end", [0.5, 10.0, 1e6]) == pytest.approx(
        calibration.confidence("end", [0.5, 10.0, np.nan])
    )


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Binding("f" * 64, "Q8_0", "a" * 64), "quantisation 'Q4_K_M', and 'Q8_0'"),
        (Binding("e" * 64, "Q4_K_M", "a" * 64), "the model 'fff"),
        (Binding("f" * 64, "Q4_K_M", "b" * 64), "the chat template 'aaa"),
        (Binding("f" * 64, "Q4_K_M", "a" * 64, "home"), "the task 'default', and 'home'"),
    ],
)
def test_another_model_is_refused_and_the_reason_said(other: Binding, said: str) -> None:
    with pytest.raises(CalibrationMismatchError, match=said):
        check_binding(BINDING, other)


def test_the_same_model_is_taken() -> None:
    check_binding(BINDING, Binding("f" * 64, "Q4_K_M", "a" * 64))
