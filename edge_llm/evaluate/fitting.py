"""From recordings to a calibration: fitted on one part, certified on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.calibration.fit import fit_calibration
from edge_llm.confidence.checkpoints import END, FIRST
from edge_llm.confidence.drift import drift_reference, reference_record
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.early import certify_policy
from edge_llm.confidence.guarantees.goals import Goal
from edge_llm.confidence.metrics.calibration_error import brier, debiased_ece
from edge_llm.confidence.metrics.length_bias import LengthBias, length_bias
from edge_llm.confidence.metrics.report import RoutingQuality, routing_quality
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.errors import CalibrationDataError
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.outcomes import to_outcomes
from edge_llm.evaluate.priors import Priors, learn_priors
from edge_llm.evaluate.recording import Recording
from edge_llm.runtime.adapting import DRIFT_PART

FITTED_SHARE = 0.5
"""Of the questions; the rest certifies. A score that ranks needs them, and a sure threshold."""
LEAST_QUESTIONS = 20
EARLY_LOST = 0.05
"""Share of what could be kept that is given up early all the same, to waste fewer tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A calibration, and what it does on questions that it was not fitted on."""

    calibration: Calibration
    """With its certificate, where there is one."""
    found: Certificate | Infeasible
    held_out: Outcomes
    scores: Floats
    """(n,) trust in each held-out answer at its end, as the goal looks at it."""
    confidence: Floats
    """(n,) P(the local answer is right)."""
    quality: RoutingQuality
    ece: float
    """Debiased, adaptive, in [0, 1]."""
    brier: float
    length: LengthBias | None
    """Whether the confidence merely measures length; None where lengths are not known."""

    @property
    def certificate(self) -> Certificate | None:
        """None where no threshold keeps the goal."""
        return self.found if isinstance(self.found, Certificate) else None


def require_questions(rows: Sequence[Recording | Example]) -> list[str]:
    """Whose side each row takes in a split: rows of one group, or of one prompt, share an owner.

    Raises:
        CalibrationDataError: too few questions.
    """
    owners = [one.group or one.prompt or one.id for one in rows]
    found = len(set(owners))
    if found < LEAST_QUESTIONS:
        raise CalibrationDataError(
            f"{found} different questions are too few to calibrate on",
            hint=f"bring {LEAST_QUESTIONS} at least; hundreds make a threshold worth having",
        )
    return owners


def split_rows(
    recordings: Sequence[Recording], share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Indices of two random parts; rows of one group, or of one prompt, stay together.

    Raises:
        CalibrationDataError: too few questions.
    """
    owners = require_questions(recordings)
    names = sorted(set(owners))
    order = np.random.default_rng(seed).permutation(len(names))
    first = {names[index] for index in order[: round(share * len(names))]}
    chosen = [index for index, owner in enumerate(owners) if owner in first]
    rest = [index for index, owner in enumerate(owners) if owner not in first]
    return chosen, rest


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """A fitted calibration with the rows that it saw and those that it did not."""

    calibration: Calibration
    priors: Priors
    fitted: Outcomes
    held_out: Outcomes

    def certify(self, goal: Goal, max_lost: float = EARLY_LOST) -> Certificate | Infeasible:
        """The thresholds that keep the goal, if any; 0 `max_lost` decides nothing early."""
        return certify_policy(self.calibration, self.fitted, self.held_out, goal, max_lost=max_lost)

    def judge(self, recordings: Sequence[Recording]) -> Outcomes:
        """Other recordings as the calibration sees them."""
        names = self.calibration.feature_names
        return self.priors.judge(recordings, to_outcomes(recordings, only=names))


def fit_halves(recordings: Sequence[Recording], binding: Binding, *, seed: int = 0) -> Halves:
    """Fit on a random half.

    Raises:
        CalibrationDataError: too few questions, or nothing to fit on.
    """
    chosen, rest = split_rows(recordings, FITTED_SHARE, seed)
    seen = [recordings[index] for index in chosen]
    priors = learn_priors(seen, to_outcomes(seen), seed)
    outcomes = to_outcomes(recordings, more=tuple(priors.parts))
    fitted = priors.fill(outcomes.select(np.array(chosen)))
    held_out = outcomes.select(np.array(rest))
    held_out = priors.judge([recordings[index] for index in rest], held_out)
    _check(fitted)
    calibration = fit_calibration(fitted, binding, seed=seed)
    calibration = replace(calibration, parts={**calibration.parts, **priors.parts})
    return Halves(calibration, priors, fitted, held_out)


def fit_and_certify(
    recordings: Sequence[Recording],
    binding: Binding,
    goal: Goal,
    *,
    seed: int = 0,
    max_lost: float = EARLY_LOST,
) -> Fitted:
    """The calibration of these recordings, and whether it keeps the goal.

    Raises:
        CalibrationDataError: too few questions, or nothing to fit on.
    """
    halves = fit_halves(recordings, binding, seed=seed)
    calibration, held_out = halves.calibration, halves.held_out
    found = halves.certify(goal, max_lost)
    if isinstance(found, Certificate):
        calibration = replace(calibration, certificate=found)
    calibration = _with_reference(calibration, held_out, goal)
    scores = calibration.scores(held_out, goal.target)[END]
    confidence = calibration.scores(held_out, "wrong")[END]
    return Fitted(
        calibration,
        found,
        held_out,
        scores,
        confidence,
        routing_quality(scores, held_out),
        debiased_ece(confidence, held_out.local_correct),
        brier(confidence, held_out.local_correct),
        _length_bias(confidence, held_out),
    )


def _length_bias(confidence: Floats, outcomes: Outcomes) -> LengthBias | None:
    tokens = outcomes.local_tokens
    if tokens is None or float(np.ptp(tokens)) == 0.0:
        return None
    return length_bias(confidence, outcomes.local_correct, tokens)


def _with_reference(calibration: Calibration, held_out: Outcomes, goal: Goal) -> Calibration:
    """With how scores are distributed at the first token, so that drift is noticed in use."""
    if FIRST not in calibration.checkpoints:
        return calibration
    scores = calibration.scores(held_out, goal.target)[FIRST]
    seen = scores[np.isfinite(scores)]
    if not len(seen):
        return calibration
    reference = drift_reference(calibration.grid(goal.target, FIRST), seen)
    return calibration.with_part(DRIFT_PART, reference_record(reference))


def _check(outcomes: Outcomes) -> None:
    if all(bool(np.isnan(array).all()) for array in outcomes.features.values()):  # or has none
        raise CalibrationDataError(
            "nothing is known of any draft to fit on",
            hint="columns 'score', 'features' or 'feature.NAME', or prompts",
        )
