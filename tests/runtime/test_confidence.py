"""Requests judged by calibrations, looked at twice, checked in the shadow and compared in arms."""

import asyncio
import math
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_llm.confidence.calibration.calibration import Calibration, Judgement
from edge_llm.confidence.features import FEATURE_NAMES
from edge_llm.confidence.guarantees.certificate import Certificate
from edge_llm.confidence.guarantees.goals import AccuracyLoss, SelectiveError
from edge_llm.confidence.policy import Policy, Thresholds
from edge_llm.confidence.prior import fit_prior
from edge_llm.config import ConfidenceConfig
from edge_llm.errors import CalibrationMismatchError, CalibrationNotFoundError, ConfigError
from edge_llm.hub.resolve import ModelLocation, resolve_model
from edge_llm.runtime import build, calibrations
from edge_llm.runtime.calibrations import (
    FoundCalibration,
    calibration_path,
    find_calibration,
    model_binding,
)
from edge_llm.runtime.observations import read_answers, read_shadows
from edge_llm.runtime.second_look import share_of_true
from edge_llm.types import Answer, TokenLogprob
from tests.support.hybrid import LOCAL, DoubtfulBackend, hybrid, hybrid_async

SURE = "Good night."
SAYS_8 = "say It\nsay \\u0020is\nsay \\u00208\nfinish stop\nusage 9 3\ndone\n"
LOW = FEATURE_NAMES.index("low_logprob")
INF = math.inf


class ByLowLogprob(Calibration):
    """Takes exp of the feature `low_logprob` for P(right), at the checkpoints of its policy."""

    def judge(self, checkpoint: str, features: Any) -> Judgement | None:
        if checkpoint not in self.checkpoints:
            return None
        value = float(features[LOW])
        right = 0.9 if math.isnan(value) else math.exp(value)
        return Judgement(right, 1.0 - right)


def calibrated(**thresholds: tuple[float, float]) -> FoundCalibration:
    """A calibration with a policy: `escalate_below` and `keep_from` by checkpoint."""
    limits = {name.removeprefix("at_"): Thresholds(*two) for name, two in thresholds.items()}
    policy = Policy("wrong", MappingProxyType(limits))
    certificate = Certificate(SelectiveError(), policy, 1000, 0.5, 0.01, 0.02)
    location = resolve_model("builtin")
    return FoundCalibration(
        ByLowLogprob(
            model_binding(location, "0" * 64, "default"),
            FEATURE_NAMES,
            cast(Any, MappingProxyType(dict.fromkeys(limits))),
            1000,
            certificate,
        )
    )


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Called with a `FoundCalibration`: it holds for every model from then on."""

    def bind(found: FoundCalibration) -> None:
        monkeypatch.setattr(build, "_calibration", lambda *_: found)

    return bind


def outcomes(answer: Answer) -> list[tuple[str, str]]:
    return [(attempt.tier, attempt.outcome) for attempt in answer.attempts]


def test_a_kept_answer_has_a_calibrated_confidence(bound: Any) -> None:
    bound(calibrated(at_end=(-INF, 0.6)))
    with hybrid(DoubtfulBackend(SURE, lambda _: 0.8)) as (llm, server):
        answer = llm.chat("good night")

    assert (answer.route, answer.calibrated, answer.signal) == ("local", True, "p_right")
    assert answer.confidence == pytest.approx(0.8, abs=1e-3)
    assert (answer.threshold, answer.checkpoint) == (0.6, "end")
    assert answer.uncalibrated_because is None
    assert server.requests == []


def test_a_draft_below_a_certified_threshold_is_given_up_early(bound: Any) -> None:
    bound(calibrated(at_8=(0.3, INF), at_end=(-INF, 0.6)))
    with hybrid(DoubtfulBackend(SURE * 9, lambda _: 0.2)) as (llm, _):
        answer = llm.chat("good night")

    assert (answer.route, answer.reason, answer.checkpoint) == ("cloud", "low_confidence", "8")
    assert (answer.threshold, answer.calibrated, answer.confidence) == (0.3, True, None)
    assert answer.attempts[0].completion_tokens < 30


def test_what_an_early_threshold_lets_pass_is_judged_at_the_end(bound: Any) -> None:
    bound(calibrated(at_8=(0.3, INF), at_end=(-INF, 0.6)))
    with hybrid(DoubtfulBackend(SURE * 2, lambda _: 0.4)) as (llm, _):
        answer = llm.chat("good night")

    assert (answer.route, answer.checkpoint, answer.threshold) == ("cloud", "end", 0.6)


def test_what_an_early_threshold_keeps_is_kept_for_good(bound: Any) -> None:
    bound(calibrated(at_8=(0.3, 0.9), at_end=(-INF, 0.6)))
    backend = DoubtfulBackend(SURE * 2, lambda at: 0.99 if at < 12 else 0.2)
    with hybrid(backend) as (llm, _):
        answer = llm.chat("good night")

    assert (answer.route, answer.checkpoint, answer.text) == ("local", "8", SURE * 2)


def test_a_request_that_surely_gains_is_not_even_begun_here(bound: Any) -> None:
    bound(calibrated(at_prompt=(0.95, INF), at_end=(-INF, 0.6)))
    with hybrid(DoubtfulBackend(SURE)) as (llm, _):
        answer = llm.chat("good night")

    assert (answer.route, answer.checkpoint) == ("cloud", "prompt")
    assert outcomes(answer) == [("local", "deferred"), ("cloud", "answered")]
    assert answer.attempts[0].completion_tokens == 0


def test_a_draft_that_will_hardly_pass_at_the_end_begins_a_race(bound: Any) -> None:
    bound(calibrated(at_8=(0.1, INF), at_end=(-INF, 0.6)))
    with hybrid(DoubtfulBackend(SURE * 9, lambda _: 0.5)) as (llm, server):
        answer = llm.chat("good night", on_doubt="race")

    assert len(server.requests) == 1
    assert {one.tier for one in answer.attempts} == {"local", "cloud"}


def test_the_configured_threshold_goes_before_the_certified_one(bound: Any) -> None:
    bound(calibrated(at_8=(0.3, INF), at_end=(-INF, 0.6)))
    options: dict[str, Any] = {"escalation": {"threshold": 0.1}}
    with hybrid(DoubtfulBackend(SURE * 2, lambda _: 0.2), **options) as (llm, _):
        answer = llm.chat("good night")

    assert (answer.route, answer.threshold, answer.calibrated) == ("local", 0.1, True)


def test_a_single_calibrated_model_is_measured_too(bound: Any) -> None:
    bound(calibrated(at_end=(-INF, 0.9)))
    with hybrid(DoubtfulBackend(SURE, lambda _: 0.8), tiers=()) as (llm, _):
        answer = llm.chat("good night")

    assert (answer.route, answer.degraded, answer.reason) == ("local", False, None)
    assert answer.confidence == pytest.approx(0.8, abs=1e-3)


def test_priors_of_texts_reach_the_features(bound: Any) -> None:
    prompts = [f"{'prove' if i % 2 else 'lamp'} number {i}" for i in range(60)]
    gain = np.array([float(i % 2) for i in range(60)])
    found = calibrated(at_end=(-INF, 0.6))
    bound(replace(found, priors={"query": fit_prior("query", prompts, gain)}))
    seen: list[NDArray[np.float64]] = []

    class Watching(ByLowLogprob):
        def judge(self, checkpoint: str, features: Any) -> Judgement | None:
            seen.append(features)
            return super().judge(checkpoint, features)

    object.__setattr__(found.calibration, "__class__", Watching)
    with hybrid(DoubtfulBackend(SURE)) as (llm, _):
        llm.chat("prove number 7")
        llm.chat("lamp number 8")

    proving, lamp = (row[FEATURE_NAMES.index("query_prior")] for row in (seen[0], seen[-1]))
    assert proving < 0.5 < lamp


# Finding


@pytest.fixture
def location() -> ModelLocation:
    return resolve_model("builtin")


def test_without_a_file_nothing_is_calibrated_and_that_is_said(
    location: ModelLocation, tmp_path: Path
) -> None:
    found = find_calibration(ConfidenceConfig(), location, "0" * 64, tmp_path)

    assert (found.calibration, found.path) == (None, None)
    assert found.note == "none was made for builtin at 'default'"


def test_a_required_calibration_that_is_not_there_refuses_the_model(
    location: ModelLocation, tmp_path: Path
) -> None:
    with pytest.raises(CalibrationNotFoundError, match="required for builtin"):
        find_calibration(ConfidenceConfig("required"), location, "0" * 64, tmp_path)


@pytest.fixture
def saved(location: ModelLocation, monkeypatch: pytest.MonkeyPatch) -> Calibration:
    """What every file of a calibration holds."""
    found = calibrated(at_end=(-INF, 0.6)).calibration
    assert found is not None
    monkeypatch.setattr("edge_llm.confidence.calibration.file.load_calibration", lambda _: found)
    return found


def test_the_one_for_the_loaded_model_is_found(
    saved: Calibration, location: ModelLocation, tmp_path: Path
) -> None:
    path = calibration_path(location.name, saved.binding, tmp_path)
    path.write_text("{}")

    found = find_calibration(ConfidenceConfig(), location, "0" * 64, tmp_path)

    assert (found.calibration, found.path, found.note) == (saved, path, None)


def test_one_for_another_template_is_left_out_and_said(
    saved: Calibration, location: ModelLocation, tmp_path: Path
) -> None:
    calibration_path(location.name, saved.binding, tmp_path).write_text("{}")

    found = find_calibration(ConfidenceConfig(), location, "1" * 64, tmp_path)

    assert found.calibration is None
    assert found.note is not None
    assert "the chat template" in found.note
    with pytest.raises(CalibrationMismatchError, match="the chat template"):
        find_calibration(ConfidenceConfig("required"), location, "1" * 64, tmp_path)


def test_quantisations_tasks_and_templates_have_files_of_their_own(
    saved: Calibration,
) -> None:
    changes = ({"fingerprint": "f"}, {"template_sha256": "t"}, {"task": "Other Task/1"})
    bindings = [saved.binding, *(replace(saved.binding, **one) for one in changes)]

    paths = {calibration_path("Model 1", one) for one in bindings}

    assert len(paths) == 4
    assert all(path.parent == calibrations.calibrations_folder() for path in paths)


def test_the_note_reaches_the_answer(bound: Any) -> None:
    bound(FoundCalibration(note="it is for Q8_0"))
    with hybrid(DoubtfulBackend(SURE)) as (llm, _):
        answer = llm.chat("good night")

    assert (answer.calibrated, answer.confidence) == (False, None)
    assert answer.uncalibrated_because == "it is for Q8_0"


def test_a_signal_that_cannot_decide_alone_is_refused() -> None:
    with (
        pytest.raises(ConfigError, match="cannot decide alone"),
        hybrid(DoubtfulBackend(SURE), confidence={"signal": "verbalised"}),
    ):
        pass


def test_another_signal_can_be_chosen() -> None:
    with hybrid(DoubtfulBackend(SURE), confidence={"signal": "mean_margin"}) as (llm, _):
        answer = llm.chat("good night")

    assert (answer.signal, answer.threshold) == ("mean_margin", 0.6)


# The second look


def looked(method: str, backend: DoubtfulBackend, **options: Any) -> Answer:
    settings = {"second_look": method, "second_look_band": 0.5, **options}
    with hybrid(backend, confidence=settings) as (llm, _):
        return llm.chat("good night")


def test_samples_that_say_the_same_keep_a_doubtful_answer() -> None:
    answer = looked("samples", DoubtfulBackend(SURE, lambda at: 0.999 if at > 1 else 0.09))

    assert (answer.route, answer.signal, answer.checkpoint) == (
        "local",
        "sample_agreement",
        "second_look",
    )
    assert outcomes(answer) == [("local", "answered"), *[("local", "looked")] * 3]
    assert answer.usage.completion_tokens > 3 * len(SURE)


def test_a_second_look_that_says_nothing_leaves_the_first_verdict() -> None:
    answer = looked("p_true", DoubtfulBackend(SURE, lambda at: 0.999 if at > 1 else 0.05))

    assert (answer.route, answer.signal) == ("cloud", "low_logprob")
    assert ("local", "looked") in outcomes(answer)


def test_answers_that_are_not_doubtful_are_not_looked_at_twice() -> None:
    answer = looked("samples", DoubtfulBackend(SURE))

    assert outcomes(answer) == [("local", "answered")]


def test_another_local_model_that_says_the_same_keeps_a_doubtful_answer() -> None:
    backend = DoubtfulBackend(SURE, lambda at: 0.999 if at > 1 else 0.09)
    tiers = [LOCAL, {"name": "larger", "model": "builtin"}]
    settings = {"second_look": "model", "second_look_band": 0.5}
    with hybrid(backend, tiers=tiers, confidence=settings) as (llm, _):
        answer = llm.chat("good night")

    assert (answer.tier, answer.signal) == ("local", "model_agreement")
    assert outcomes(answer) == [("local", "answered"), ("larger", "looked")]


def test_without_another_local_model_there_is_no_second_opinion() -> None:
    answer = looked("model", DoubtfulBackend(SURE, lambda at: 0.999 if at > 1 else 0.3))

    assert (answer.route, answer.signal) == ("local", "low_logprob")
    assert outcomes(answer) == [("local", "answered")]


@pytest.mark.parametrize(
    ("likeliest", "expected"),
    [
        ((("A", -1.0), ("B", -1.0)), 0.5),
        (((" A", math.log(0.6)), ("(A", math.log(0.2)), ("B", math.log(0.2))), 0.8),
        ((("B", -3.0), ("C", -0.1)), 0.0),
        ((("Yes", -0.1),), None),
        ((("A", None),), None),
    ],
)
def test_what_the_model_holds_true_is_read_from_two_labels(
    likeliest: tuple[tuple[str, float | None], ...], expected: float | None
) -> None:
    tokens = [TokenLogprob(text, text.encode(), logprob) for text, logprob in likeliest]

    assert share_of_true(tokens) == (None if expected is None else pytest.approx(expected))


# Afterwards


def test_a_kept_answer_is_checked_in_the_shadow(tmp_path: Path) -> None:
    async def ask() -> tuple[Answer, int]:
        settings: dict[str, Any] = {
            "confidence": {"shadow_share": 1.0},
            "state_dir": str(tmp_path),
        }
        async with hybrid_async(DoubtfulBackend(SURE), **settings) as (llm, server):
            answer = await llm.chat("good night")
            assert llm._afterwards is not None
            await llm._afterwards.finished()
            return answer, len(server.requests)

    answer, num_asked = asyncio.run(ask())

    (shadow,) = read_shadows(tmp_path)
    assert (answer.route, num_asked, answer.cost_usd) == ("local", 1, 0.0)
    assert (shadow.trace_id, shadow.propensity, shadow.agreement) == (answer.trace_id, 1.0, 0.0)
    assert shadow.features["low_logprob"] == pytest.approx(math.log(0.999), abs=1e-3)


def test_losses_found_in_the_shadow_raise_the_threshold_of_later_requests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = calibrated(at_end=(-INF, 0.6))
    assert found.calibration is not None
    assert found.calibration.certificate is not None
    certificate = replace(found.calibration.certificate, goal=AccuracyLoss(epsilon=0.02))
    monkeypatch.setattr(ByLowLogprob, "grid", lambda *_: np.linspace(0.0, 1.0, 101), raising=False)
    judged = replace(found.calibration, certificate=certificate)
    monkeypatch.setattr(build, "_calibration", lambda *_: FoundCalibration(judged))

    async def ask() -> tuple[list[Answer], list[Answer]]:
        settings: dict[str, Any] = {
            "confidence": {"shadow_share": 1.0},
            "state_dir": str(tmp_path),
        }
        answers: list[list[Answer]] = []
        for _ in range(2):  # the second time after a restart
            async with hybrid_async(
                DoubtfulBackend("It is 7", lambda _: 0.8), SAYS_8, **settings
            ) as (llm, _server):
                said = []
                for _ in range(16):
                    said.append(await llm.chat("how many?"))
                    assert llm._afterwards is not None
                    await llm._afterwards.finished()
                answers.append(said)
        return answers[0], answers[1]

    first, second = asyncio.run(ask())

    assert (first[0].route, first[0].threshold) == ("local", 0.6)
    assert [one.route for one in second].count("cloud") >= 14  # quiet requests lower it, slowly
    assert {one.reason for one in second if one.route == "cloud"} == {"low_confidence"}
    assert (second[0].threshold or 0.0) > 0.75


def test_closing_lets_a_shadow_end(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"confidence": {"shadow_share": 1.0}, "state_dir": str(tmp_path)}
    with hybrid(DoubtfulBackend(SURE), **settings) as (llm, _):
        answer = llm.chat("good night")

    assert [shadow.trace_id for shadow in read_shadows(tmp_path)] == [answer.trace_id]


def test_what_must_not_leave_has_no_shadow(tmp_path: Path) -> None:
    async def ask() -> int:
        settings: dict[str, Any] = {
            "confidence": {"shadow_share": 1.0},
            "state_dir": str(tmp_path),
        }
        async with hybrid_async(DoubtfulBackend(SURE), **settings) as (llm, server):
            await llm.chat("good night", privacy="local_only")
            assert llm._afterwards is not None
            await llm._afterwards.finished()
            return len(server.requests)

    assert asyncio.run(ask()) == 0
    assert read_shadows(tmp_path) == []


def test_arms_change_what_they_say_and_are_written_down(tmp_path: Path) -> None:
    arms = ({"name": "bold", "share": 0.5, "threshold": 0.0},)
    settings: dict[str, Any] = {"confidence": {"arms": arms}, "state_dir": str(tmp_path)}
    with hybrid(DoubtfulBackend(SURE, lambda _: 0.05), **settings) as (llm, _):
        answers = [llm.chat("good night") for _ in range(12)]

    assert {(one.arm, one.route) for one in answers} == {("bold", "local"), ("default", "cloud")}
    rows = read_answers(tmp_path)
    assert sorted((row.arm, row.is_escalated) for row in rows) == sorted(
        (one.arm, one.route == "cloud") for one in answers
    )
    assert {row.propensity for row in rows} == {0.5}
