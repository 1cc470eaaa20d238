"""Calibrations in use: drift is noticed, losses raise the threshold, a restart forgets neither."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.calibration.fit import fit_calibration
from edge_llm.confidence.checkpoints import END, FIRST
from edge_llm.confidence.drift import drift_reference, reference_record
from edge_llm.confidence.guarantees.certificate import Certificate
from edge_llm.confidence.guarantees.goals import AccuracyLoss, SelectiveError
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.confidence.policy import Policy, Thresholds
from edge_llm.runtime.adapting import DRIFT_PART, SAVE_EVERY, Adapting
from edge_llm.runtime.observations import read_states, write_state

rng = np.random.default_rng(3)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """Fitted on 400 drafts; what scores above 0.8 is kept."""
    score = np.random.default_rng(0).random((400, 1))
    right = (np.random.default_rng(1).random(400) < score[:, 0]).astype(float)
    outcomes = Outcomes(
        feature_names=("low_logprob",),
        features={FIRST: score, END: score},
        local_correct=right,
        cloud_correct=np.ones(400),
    )
    fitted = fit_calibration(outcomes, Binding("f", "q", "t"))
    policy = Policy("gain", {END: Thresholds(-np.inf, 0.8)})
    reference = drift_reference(fitted.grid("gain", FIRST), fitted.scores(outcomes, "gain")[FIRST])
    certified = replace(fitted, certificate=Certificate(AccuracyLoss(), policy, 200, 0.5, 0, 0.02))
    return certified.with_part(DRIFT_PART, reference_record(reference))


def usual(calibration: Calibration) -> float:
    """The score of a draft like those it was fitted on."""
    return 1.0 - (calibration.gain(FIRST, np.array([rng.random()])) or 0.0)


def test_requests_as_before_are_no_drift(calibration: Calibration) -> None:
    adapting = Adapting(calibration, "k", None)
    for _ in range(300):
        adapting.note(usual(calibration))

    assert not adapting.has_drifted


def test_other_requests_are_noticed_and_said_once(
    calibration: Calibration, caplog: pytest.LogCaptureFixture
) -> None:
    adapting = Adapting(calibration, "k", None)
    with caplog.at_level(logging.WARNING):
        for _ in range(200):
            adapting.note(0.05)

    assert adapting.has_drifted
    assert len([one for one in caplog.records if "calibrate again" in one.message]) == 1


def test_losses_raise_the_threshold(calibration: Calibration) -> None:
    adapting = Adapting(calibration, "k", None)
    before = adapting.threshold
    for _ in range(20):
        adapting.note(0.5, loss=1.0, propensity=0.5)

    assert before == pytest.approx(0.8, abs=0.1)
    assert adapting.threshold > before


def test_what_was_learned_survives_a_restart(calibration: Calibration, tmp_path: Path) -> None:
    adapting = Adapting(calibration, "k", tmp_path)
    for _ in range(SAVE_EVERY - 1):
        adapting.note(None, loss=1.0, propensity=0.5)
    adapting.save()
    assert read_states(tmp_path) == []
    adapting.note(0.05)
    adapting.save()

    again = Adapting(calibration, "k", tmp_path)

    assert again.threshold == adapting.threshold
    assert again.describe() == adapting.describe()


def test_a_damaged_state_is_forgotten_and_said(
    calibration: Calibration, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    adapting = Adapting(calibration, "k", tmp_path)
    adapting.note(0.05, loss=1.0)
    adapting.save(always=True)
    state = json.loads(dict(read_states(tmp_path))["k"])
    state["monitor"]["counts"] = [1, 1]
    write_state(tmp_path, "k", json.dumps(state))

    again = Adapting(calibration, "k", tmp_path)

    assert again.describe()["drift_e_value"] == 1.0
    assert "is lost" in caplog.text


def test_a_certificate_of_another_kind_leaves_the_threshold(calibration: Calibration) -> None:
    certificate = calibration.certificate
    assert certificate is not None
    other = replace(calibration, certificate=replace(certificate, goal=SelectiveError()), parts={})
    adapting = Adapting(other, "k", None)
    adapting.note(0.5, loss=1.0)

    assert (adapting.threshold, adapting.has_drifted) == (0.0, False)


def test_a_calibration_that_was_made_again_starts_anew(
    calibration: Calibration, tmp_path: Path
) -> None:
    adapting = Adapting(calibration, "k", tmp_path)
    for _ in range(200):
        adapting.note(0.05, loss=1.0)
    adapting.save(always=True)
    certificate = calibration.certificate
    assert certificate is not None
    policy = Policy("gain", {END: Thresholds(-np.inf, 0.9)})
    other = replace(calibration, certificate=replace(certificate, policy=policy))

    again = Adapting(other, "k", tmp_path)

    assert adapting.has_drifted
    assert not again.has_drifted
    assert again.threshold == Adapting(other, "k", None).threshold
