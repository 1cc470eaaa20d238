"""What the texts of a data set tell, as features: learned on one part, honest on both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.checkpoints import END
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.confidence.prior import MIN_ROWS, PriorColumn, TextPrior, benefit_of, fit_prior_column
from edge_llm.confidence.text.vectors import TextKind, text_row
from edge_llm.evaluate.recording import Recording

COLUMNS: Mapping[TextKind, str] = {"query": "query_prior", "answer": "answer_prior"}
"""Names of the features, and of the parts of a calibration that hold the rules."""
CHUNK = 256
"""Rows that are judged at once: each is thousands of numbers meanwhile."""


@dataclass(frozen=True, slots=True, eq=False)
class Priors:
    """Rules for texts, and what they say of the rows they were learned from."""

    learned: Mapping[TextKind, PriorColumn]

    def fill(self, fitted: Outcomes) -> Outcomes:
        """The rows that were learned from, each with the opinion of a rule that had not seen it."""
        return _filled(fitted, {kind: one.column for kind, one in self.learned.items()})

    def judge(self, recordings: Sequence[Recording], outcomes: Outcomes) -> Outcomes:
        """Other rows, with the opinion of the whole rule."""
        return _filled(
            outcomes,
            {kind: predict(one.prior, recordings) for kind, one in self.learned.items()},
        )

    @property
    def parts(self) -> dict[str, Any]:
        """What a calibration keeps of them: JSON values by name."""
        return {COLUMNS[kind]: one.prior.to_json() for kind, one in self.learned.items()}


def learn_priors(recordings: Sequence[Recording], outcomes: Outcomes, seed: int) -> Priors:
    """The rules that these rows teach: of prompts, and of answers, where there are enough of each.

    None is learned where all rows came out alike, or most have no text.
    """
    benefit = benefit_of(outcomes.local_correct, outcomes.cloud_correct)
    learned: dict[TextKind, PriorColumn] = {}
    if len(recordings) < MIN_ROWS or float(np.ptp(benefit)) == 0.0:
        return Priors(learned)
    prompts = [one.prompt for one in recordings]
    answers = [one.local.text for one in recordings]
    if _mostly_there(prompts):
        learned["query"] = fit_prior_column("query", prompts, benefit, seed=seed)
    if _mostly_there(answers):
        learned["answer"] = fit_prior_column("answer", prompts, benefit, answers, seed=seed)
    return Priors(learned)


def predict(prior: TextPrior, recordings: Sequence[Recording]) -> Floats:
    """(n,) how little asking the cloud would help, by a rule for texts."""
    found = [np.empty(0)]
    for start in range(0, len(recordings), CHUNK):
        some = recordings[start : start + CHUNK]
        rows = [text_row(prior.kind, one.prompt, one.local.text) for one in some]
        found.append(prior.predict_rows(rows))
    return np.concatenate(found)


def _mostly_there(texts: Sequence[str]) -> bool:
    return 2 * sum(bool(text.strip()) for text in texts) > len(texts)


def _filled(outcomes: Outcomes, columns: Mapping[TextKind, Floats]) -> Outcomes:
    """With each column at every checkpoint; what an answer tells, at its end alone."""
    features = {name: array.copy() for name, array in outcomes.features.items()}
    for kind, column in columns.items():
        place = outcomes.feature_names.index(COLUMNS[kind])
        for name, array in features.items():
            if kind == "query" or name == END:
                array[:, place] = np.where(outcomes.reached(name), column, np.nan)
    return replace(outcomes, features=features)
