"""Whether thresholds keep what they promise, and probabilities are what they say, split by split.

Each split draws labels at random from the recorded answers, fits on half of them, certifies on the
other half, and looks at all that is left. The reference is the cloud: one that is always right, as
the labels are. Nothing of what is looked at was fitted or certified on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.confidence_signals import NOBODY
from benchmarks.report import Figure
from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.calibration.fit import fit_calibration
from edge_llm.confidence.checkpoints import END
from edge_llm.confidence.guarantees.certificate import Certificate
from edge_llm.confidence.guarantees.early import certify_policy, saved_tokens
from edge_llm.confidence.guarantees.goals import AccuracyLoss, Goal, SelectiveError
from edge_llm.confidence.metrics.calibration_error import debiased_ece
from edge_llm.confidence.metrics.intervals import wilson
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.evaluate.fitting import EARLY_LOST
from edge_llm.evaluate.outcomes import to_outcomes
from edge_llm.evaluate.recording import Recording

LABELS = 1000
EPSILON, LOSS_P95 = 0.02, 0.03
ALPHA, DELTA = 0.10, 0.10
ECE_GOALS = {500: 0.05, 1000: 0.03}
SAVED_GOAL = 0.40


@dataclass(slots=True)
class Splits:
    """What happened over all splits of one goal."""

    realised: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    saved: list[float] = field(default_factory=list)
    infeasible: int = 0


def draw(outcomes: Outcomes, labels: int, seed: int) -> tuple[Outcomes, Outcomes, Outcomes]:
    """Rows to fit on, rows to certify on, and all others."""
    order = np.random.default_rng(seed).permutation(len(outcomes))
    half = labels // 2
    parts = (order[:half], order[half:labels], order[labels:])
    fit, certify, rest = (outcomes.select(np.sort(rows)) for rows in parts)
    return fit, certify, rest


def guarantees(
    recordings: Sequence[Recording], splits: int, labels: int = LABELS
) -> dict[str, Figure]:
    """Realised loss and error of certified policies on rows that nobody had seen."""
    outcomes = to_outcomes(recordings)
    goals: dict[str, Goal] = {
        "loss": AccuracyLoss(epsilon=EPSILON),
        "error": SelectiveError(alpha=ALPHA, delta=DELTA),
    }
    found = {name: Splits() for name in goals}
    for seed in range(splits):
        fit, held_out, rest = draw(outcomes, labels, seed)
        calibration = fit_calibration(fit, NOBODY, seed=seed)
        for name, goal in goals.items():
            certificate = certify_policy(calibration, fit, held_out, goal, max_lost=EARLY_LOST)
            _play(found[name], calibration, certificate, rest, goal)
        if seed % 20 == 19:
            print(f"{seed + 1} of {splits} splits", file=sys.stderr, flush=True)
    num_rest = len(outcomes) - labels
    return {**_loss_figures(found["loss"], num_rest), **_error_figures(found["error"])}


def _play(
    found: Splits, calibration: Calibration, certificate: object, rest: Outcomes, goal: Goal
) -> None:
    if not isinstance(certificate, Certificate):
        found.infeasible += 1
        return
    scores = calibration.scores(rest, goal.target)
    decisions = certificate.policy.replay(scores)
    kept = decisions.kept
    found.kept.append(float(kept.mean()))
    if isinstance(goal, AccuracyLoss):
        found.realised.append(float((rest.gain * kept).mean()))
        found.saved.append(saved_tokens(certificate.policy, decisions, rest) or 0.0)
    elif kept.any():
        found.realised.append(float(rest.wrong[kept].mean()))


def _loss_figures(found: Splits, num_rest: int) -> dict[str, Figure]:
    name = f"loss at most {EPSILON:g}, {len(found.realised) + found.infeasible} splits"
    if not found.realised:
        return {f"{name}: infeasible": Figure(found.infeasible, "splits")}
    mean, tail = float(np.mean(found.realised)), float(np.quantile(found.realised, 0.95))
    saved = float(np.mean(found.saved))
    return {
        f"{name}: mean on {num_rest} others": _at_most(mean, "lost", EPSILON),
        f"{name}: 95th percentile": _at_most(tail, "lost", LOSS_P95),
        f"{name}: kept": Figure(float(np.mean(found.kept)), "of requests"),
        f"{name}: infeasible": Figure(found.infeasible, "splits"),
        f"early, loss at most {EPSILON:g}: tokens saved of what is escalated": Figure(
            saved, "of local tokens", SAVED_GOAL, met=saved >= SAVED_GOAL
        ),
    }


def _error_figures(found: Splits) -> dict[str, Figure]:
    total = len(found.realised) + found.infeasible
    name = f"error at most {ALPHA:g}, {total} splits"
    broken = wilson(sum(one > ALPHA for one in found.realised), max(1, total))
    return {
        f"{name}: violations": Figure(
            broken.value, "of splits", DELTA, met=broken.value <= DELTA,
            spread=(broken.high - broken.low) / 2,
        ),
        f"{name}: kept": Figure(float(np.mean(found.kept or [0.0])), "of requests"),
        f"{name}: infeasible": Figure(found.infeasible, "splits"),
    }  # fmt: skip


def calibration_error(recordings: Sequence[Recording], splits: int) -> dict[str, Figure]:
    """Debiased adaptive ECE of the confidence at the end, on all rows that were not fitted on."""
    outcomes = to_outcomes(recordings)
    figures = {}
    for labels, goal in ECE_GOALS.items():
        found = []
        for seed in range(splits):
            fit, more, rest = draw(outcomes, labels, 1000 + seed)
            both = outcomes_of(fit, more)
            calibration = fit_calibration(both, NOBODY, seed=seed)
            found.append(debiased_ece(calibration.scores(rest, "wrong")[END], rest.local_correct))
        value = float(np.mean(found))
        spread = float(np.std(found))
        figures[f"calibration error, {labels} labels, on {len(outcomes) - labels} others"] = Figure(
            value, "debiased ECE", goal, met=value <= goal, spread=spread
        )
    return figures


def outcomes_of(one: Outcomes, other: Outcomes) -> Outcomes:
    """Both, one after the other."""

    def joined(name: str) -> Floats | None:
        first, second = getattr(one, name), getattr(other, name)
        return None if first is None else np.concatenate([first, second])

    return Outcomes(
        feature_names=one.feature_names,
        features={n: np.concatenate([a, other.features[n]]) for n, a in one.features.items()},
        local_correct=np.concatenate([one.local_correct, other.local_correct]),
        cloud_correct=joined("cloud_correct"),
        spent_tokens={n: np.concatenate([a, other.spent_tokens[n]])
                      for n, a in one.spent_tokens.items()},
        local_tokens=joined("local_tokens"),
    )  # fmt: skip


def _at_most(value: float, unit: str, goal: float) -> Figure:
    return Figure(value, unit, goal, met=value <= goal)
