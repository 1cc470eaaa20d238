import copy
import json

import numpy as np
import pytest

from edge_llm.confidence.metrics.auroc import auroc
from edge_llm.confidence.prior import TextPrior, fit_prior, fit_prior_column
from edge_llm.confidence.text.kernel_logistic import choose_penalty, fit_dual, predict_dual
from edge_llm.errors import CalibrationDataError, CalibrationFormatError

ROOMS = ["kitchen", "hall", "cellar", "attic", "garage", "porch"]


def easy(number: int) -> str:
    return f"turn on the lamp in the {ROOMS[number % 6]} number {number}"


def hard(number: int) -> str:
    return f"prove that the theorem holds for every integer above {number}"


PROMPTS = [easy(i) if i % 2 else hard(i) for i in range(80)]
GAIN = np.array([0.0 if i % 2 else 1.0 for i in range(80)])
ANSWERS = [f"{i} + 2 = {i + 2}" if i % 2 else f"{i} + 2 = {i + 7}" for i in range(80)]


def test_requests_like_those_that_gained_are_told_from_others() -> None:
    prior = fit_prior("query", PROMPTS, GAIN)

    assert prior.predict(hard(999)) < 0.4 < 0.6 < prior.predict(easy(999))
    assert prior.num_labels == 80


def test_answers_whose_sums_do_not_come_out_are_told_from_others() -> None:
    prior = fit_prior("answer", ["What is it?"] * 80, GAIN, ANSWERS)

    assert prior.predict("What is it?", "400 + 2 = 409") < prior.predict(
        "What is it?", "400 + 2 = 402"
    )


def test_the_column_was_predicted_without_the_row() -> None:
    noise = np.random.default_rng(0).integers(0, 2, 80).astype(float)
    found = fit_prior_column("query", PROMPTS, noise)
    fooled = [found.prior.predict(prompt) for prompt in PROMPTS]

    honest = auroc(-found.column, noise > 0.5)
    assert honest is not None
    assert abs(honest - 0.5) < 0.2
    assert (auroc(-np.array(fooled), noise > 0.5) or 0.0) > honest


def test_a_prior_is_the_same_after_it_was_written_down() -> None:
    prior = fit_prior("answer", PROMPTS, GAIN, ANSWERS)
    read = TextPrior.from_json(json.loads(json.dumps(prior.to_json())))

    assert read.predict("a", "b") == pytest.approx(prior.predict("a", "b"), abs=1e-5)
    assert (read.kind, read.penalty, read.num_labels) == ("answer", prior.penalty, 80)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", 2),
        ("kind", "both"),
        ("mean", "AAAA"),
        ("idf", "no base64!"),
        ("spread", 3),
        ("bias", None),
    ],
)
def test_a_damaged_prior_is_refused(name: str, value: object) -> None:
    values = copy.deepcopy(fit_prior("query", PROMPTS, GAIN).to_json())
    values[name] = value

    with pytest.raises(CalibrationFormatError, match="prior of texts"):
        TextPrior.from_json(values)
    del values[name]
    with pytest.raises(CalibrationFormatError):
        TextPrior.from_json(values)


def test_too_few_rows_or_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CalibrationDataError, match="too few"):
        fit_prior("query", PROMPTS[:9], GAIN[:9])
    with pytest.raises(CalibrationDataError):
        fit_prior("query", PROMPTS, GAIN[:40])
    with pytest.raises(CalibrationDataError, match="one answer"):
        fit_prior("answer", PROMPTS, GAIN)
    with pytest.raises(CalibrationDataError, match="one answer"):
        fit_prior("answer", PROMPTS, GAIN, ANSWERS[:3])


def test_outcomes_that_are_all_alike_teach_that_and_no_more() -> None:
    assert fit_prior("query", PROMPTS, np.ones(80)).predict(easy(1)) < 0.2


def test_the_dual_finds_the_minimum() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(40, 3))
    labels = (rows[:, 0] + rng.normal(size=40) > 0).astype(float)
    penalty = 2.0
    dual = fit_dual(rows @ rows.T, labels, penalty)
    weights = rows.T @ dual.weight

    p = 1.0 / (1.0 + np.exp(-(rows @ weights + dual.bias)))
    assert rows.T @ (p - labels) + penalty * weights == pytest.approx(np.zeros(3), abs=1e-2)
    assert np.sum(p - labels) == pytest.approx(0.0, abs=1e-2)
    assert predict_dual(rows @ rows.T, dual) == pytest.approx(p, abs=1e-6)
    assert choose_penalty(rows @ rows.T, labels, (0.1, 1e6), rng) == 0.1
