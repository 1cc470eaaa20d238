"""From recordings to calibrations."""

from __future__ import annotations

import numpy as np
import pytest

from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.goals import AccuracyLoss, SelectiveError
from edge_llm.errors import CalibrationDataError
from edge_llm.evaluate.curves import diagrams
from edge_llm.evaluate.fitting import fit_and_certify, fit_halves, split_rows
from edge_llm.evaluate.recording import Look, Recording, Said

BINDING = Binding("f", "Q8_0", "t")
WORDS = ["red", "green", "blue", "stone", "river", "cloud", "table", "lamp"]


def rows(count: int, seed: int = 0, *, texts: bool = False, cloud: bool = True) -> list[Recording]:
    """Answers whose score is the probability that they are right; or whose prompts tell it."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        sure = float(rng.beta(2.0, 0.7))
        is_hard = rng.random() < 0.5
        right = rng.random() < ((0.1 if is_hard else 0.95) if texts else sure)
        words = " ".join(rng.choice(WORDS, 6))
        prompt = f"{'prove' if is_hard else 'name'} {words} {number}" if texts else ""
        looks = {} if texts else {"end": Look({"sure": sure}, 9, 0.1)}
        found.append(
            Recording(
                id=str(number),
                local=Said("an answer" if texts else "", completion_tokens=9, looks=looks),
                local_correct=float(right),
                cloud=Said(cost_usd=0.001) if cloud else None,
                cloud_correct=1.0 if cloud else None,
                prompt=prompt,
            )
        )
    return found


def test_a_certificate_comes_with_the_score_s_figures() -> None:
    found = fit_and_certify(rows(600), BINDING, AccuracyLoss(epsilon=0.05))

    assert isinstance(found.found, Certificate)
    assert found.calibration.certificate == found.certificate
    assert found.calibration.binding == BINDING
    assert found.quality.auroc_wrong is not None
    assert found.quality.auroc_wrong > 0.7
    assert found.ece < 0.1
    assert {one.name for one in diagrams(found.scores, found.confidence, found.held_out)} == {
        "accuracy", "reliability", "risk", "cost",
    }  # fmt: skip


def test_texts_alone_can_be_learned_from_and_are_kept_with_the_calibration() -> None:
    found = fit_and_certify(rows(240, texts=True), BINDING, AccuracyLoss(epsilon=0.1))

    assert set(found.calibration.parts) >= {"query_prior", "answer_prior"}
    assert found.calibration.feature_names == ("query_prior", "answer_prior")
    assert found.quality.auroc_wrong is not None
    assert found.quality.auroc_wrong > 0.8


def test_rows_that_were_not_there_are_judged_with_the_same_columns() -> None:
    halves = fit_halves(rows(240, texts=True), BINDING)

    fresh = halves.judge(rows(50, seed=9, texts=True))

    assert fresh.feature_names == halves.calibration.feature_names
    assert not np.isnan(fresh.features["end"]).any()


def test_without_a_cloud_only_what_concerns_local_answers_is_drawn() -> None:
    found = fit_and_certify(rows(400, cloud=False), BINDING, SelectiveError(alpha=0.3))

    drawn = diagrams(found.scores, found.confidence, found.held_out)

    assert [one.name for one in drawn] == ["reliability", "risk"]


def test_what_cannot_be_kept_has_a_reason_and_no_certificate() -> None:
    found = fit_and_certify(rows(60), BINDING, SelectiveError(alpha=0.001))

    assert isinstance(found.found, Infeasible)
    assert found.found.reason
    assert found.certificate is None
    assert found.calibration.certificate is None


def test_equal_prompts_are_on_one_side() -> None:
    twins = [Recording(str(n), Said(), 1.0, prompt=f"p{n % 30}") for n in range(90)]

    chosen, rest = split_rows(twins, 0.5, 0)

    assert len(chosen) + len(rest) == 90
    assert not {twins[n].prompt for n in chosen} & {twins[n].prompt for n in rest}


def test_too_few_questions_and_questions_without_anything_known_are_refused() -> None:
    with pytest.raises(CalibrationDataError, match="too few"):
        fit_and_certify(rows(19), BINDING, AccuracyLoss())
    bare = [Recording(str(n), Said(), float(n % 2)) for n in range(100)]
    with pytest.raises(CalibrationDataError, match="nothing is known"):
        fit_and_certify(bare, BINDING, AccuracyLoss())
