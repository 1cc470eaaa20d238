"""The shipped sentences, how answers to them are judged, and what is made of the judgements."""

import json
from dataclasses import fields
from pathlib import Path

import edge_llm
from edge_llm.evaluate.builtin import (
    EvaluationCase,
    Outcome,
    evaluate_builtin,
    is_right,
    load_cases,
    summarise,
)
from edge_llm.hub.packaged import models_folder
from edge_llm.types import Answer, ToolCall
from scripts.builtin.domain import load_domain
from scripts.builtin.evaluation_set import draw_cases

CALL = {"name": "HassTurnOn", "arguments": {"area": "den"}}


def answer(text: str = "", *calls: ToolCall) -> Answer:
    nothing = {field.name: None for field in fields(Answer)}
    return Answer(**{**nothing, "text": text, "tool_calls": calls})  # type: ignore[arg-type]


def test_the_shipped_sentences_are_the_ones_that_the_generator_draws() -> None:
    path = models_folder() / "builtin" / "evaluation.jsonl"
    shipped = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    assert shipped == list(draw_cases(len(shipped))), "python -m scripts.builtin evaluation-set"


def test_every_suite_has_its_share_and_every_call_is_known() -> None:
    cases = load_cases()

    assert len(cases) >= 200
    assert len({case.suite for case in cases[:3]}) == 3
    assert len({case.text for case in cases}) > 0.95 * len(cases)
    assert all(call["name"] in load_domain().intents for case in cases for call in case.calls)
    assert any(not case.calls for case in cases)


def test_calls_decide_where_some_are_expected_and_words_elsewhere() -> None:
    command = EvaluationCase("s", "command", "den on", (CALL,), "Turning on the den.")
    question = EvaluationCase("s", "refused", "why?", (), "I can't.")
    call = ToolCall("call_0", "HassTurnOn", {"area": "den"})

    assert is_right(command, answer("Other words.", call))
    assert not is_right(command, answer("Turning on the den."))
    assert not is_right(command, answer("", ToolCall("call_0", "HassTurnOn", {"area": "attic"})))
    assert is_right(question, answer("I can't. "))
    assert not is_right(question, answer("I can't.", call))


def test_outcomes_are_summed_up_by_suite() -> None:
    cases = [EvaluationCase(suite, "k", suite, (), "") for suite in ("a", "a", "b")]
    scores = [-0.1, -2.0, -0.2]
    outcomes = [
        Outcome(case, right, {"mean_logprob": score})
        for case, right, score in zip(cases, (True, False, True), scores, strict=True)
    ]

    found = summarise(outcomes)

    assert (found.num_cases, round(found.accuracy, 3)) == (3, 0.667)
    assert found.by_suite == {"a": 0.5, "b": 1.0}
    assert found.auroc == {"mean_logprob": 1.0}
    assert summarise([]).num_cases == 0


def test_the_built_in_model_answers_them(tmp_path: Path) -> None:
    seen: list[int] = []
    cases = load_cases(15)

    with edge_llm.load(cache_dir=str(tmp_path), cache_max_mb=0) as llm:
        found = evaluate_builtin(llm, cases, seen.append)

    assert seen == list(range(1, 16))
    assert 0.0 < found.accuracy <= 1.0
    assert set(found.auroc) == {"mean_logprob", "min_logprob", "unsure_token"}
