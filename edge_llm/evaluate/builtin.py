"""How often the built-in model is right on this machine, and whether its own doubt shows it.

The sentences ship with the model, `evaluation.jsonl`: generated ones, a third each of patterns that
training never has, of names that it never has, and of what the model should not answer. They
flatter it where real people speak differently; they are here to tell one machine and build from
another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_llm.confidence.metrics.auroc import auroc
from edge_llm.hub.packaged import models_folder
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.types import Answer

SET_FILE = "evaluation.jsonl"
MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class EvaluationCase:
    """A sentence, and what it should give."""

    suite: str
    kind: str
    text: str
    calls: tuple[dict[str, Any], ...]
    answer: str
    """What should be said; decides where no call is expected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case."""

    case: EvaluationCase
    is_right: bool
    scores: dict[str, float]
    """Signals of the model's own certainty, higher is surer."""


@dataclass(frozen=True, slots=True)
class BuiltinScore:
    """All of it."""

    num_cases: int
    accuracy: float
    """Share of sentences whose calls, or else words, are exactly right."""
    by_suite: dict[str, float] = field(default_factory=dict)
    auroc: dict[str, float | None] = field(default_factory=dict)
    """By signal; None where all are right, or all wrong."""


def load_cases(limit: int | None = None) -> list[EvaluationCase]:
    """The shipped sentences, or the first `limit`, in which every suite has its share."""
    path = models_folder() / "builtin" / SET_FILE
    lines = path.read_text(encoding="utf-8").splitlines()[:limit]
    records = [json.loads(line) for line in lines]
    return [EvaluationCase(**{**r, "calls": tuple(r["calls"])}) for r in records]


def evaluate_builtin(
    llm: EdgeLLM,
    cases: Sequence[EvaluationCase] | None = None,
    progress: Callable[[int], None] | None = None,
) -> BuiltinScore:
    """Ask the loaded model every sentence, greedily; `progress` is told how many are done."""
    outcomes = []
    for case in load_cases() if cases is None else cases:
        outcomes.append(ask(llm, case))
        if progress is not None:
            progress(len(outcomes))
    return summarise(outcomes)


def ask(llm: EdgeLLM, case: EvaluationCase) -> Outcome:
    """One sentence."""
    answer = llm.chat(case.text, temperature=0.0, max_tokens=MAX_TOKENS, top_logprobs=1)
    return Outcome(case, is_right(case, answer), certainty(answer))


def is_right(case: EvaluationCase, answer: Answer) -> bool:
    """Whether every call and slot is the expected one; without calls, every word."""
    calls = [{"name": c.name, "arguments": dict(c.arguments)} for c in answer.tool_calls]
    if calls != list(case.calls):
        return False
    return bool(calls) or answer.text.strip() == case.answer.strip()


def certainty(answer: Answer) -> dict[str, float]:
    """Mean and least log-probability of the tokens, in nats, and what the runtime itself scored."""
    found = [one.logprob for one in answer.logprobs or () if one.logprob is not None] or [0.0]
    scores = {"mean_logprob": sum(found) / len(found), "min_logprob": min(found)}
    if answer.score is not None and answer.signal is not None:
        scores[answer.signal] = answer.score
    return scores


def summarise(outcomes: Sequence[Outcome]) -> BuiltinScore:
    """Accuracy in all and by suite, and the AUROC of each signal."""
    if not outcomes:
        return BuiltinScore(0, 0.0)
    right = [outcome.is_right for outcome in outcomes]
    suites: dict[str, list[bool]] = {}
    for outcome in outcomes:
        suites.setdefault(outcome.case.suite, []).append(outcome.is_right)
    return BuiltinScore(
        num_cases=len(outcomes),
        accuracy=_share(right),
        by_suite={name: _share(of_suite) for name, of_suite in suites.items()},
        auroc={
            signal: auroc([outcome.scores[signal] for outcome in outcomes], right)
            for signal in outcomes[0].scores
        },
    )


def _share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 4)
