"""Thresholds for all checkpoints: what will surely be escalated is escalated early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from edge_llm.confidence.arrays import Floats, Mask
from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.checkpoints import END, Checkpoint
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.certify import (
    certificate_of,
    find_threshold,
    measured_threshold,
)
from edge_llm.confidence.guarantees.goals import Goal
from edge_llm.confidence.guarantees.sample import ROUNDING
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.confidence.policy import Decisions, Policy, Thresholds
from edge_llm.errors import CalibrationDataError

MAX_LOST = 0.01
"""Share of the requests kept at the end that early decisions may escalate."""


def certify_policy(
    calibration: Calibration,
    fitted: Outcomes,
    held_out: Outcomes,
    goal: Goal,
    *,
    keep_at: Sequence[Checkpoint] = (END,),
    max_lost: float = MAX_LOST,
) -> Certificate | Infeasible:
    """Thresholds of every checkpoint; the goal holds for the policy as a whole.

    Early thresholds are chosen on `fitted`, the rows that the calibration was fitted on; the
    certificate comes from `held_out` alone. `max_lost` = 0 decides nothing early. With several
    checkpoints in `keep_at` (the commit point of a stream, and the end) one threshold holds at all
    of them: a request is kept when its best score there reaches it, and it is that best score which
    is certified. So no part of epsilon or delta needs to be set aside for each checkpoint.

    Raises:
        CalibrationDataError: nothing was fitted for a checkpoint of `keep_at`.
    """
    names = _up_to_last(calibration, keep_at)
    inner = {name: calibration.scores(fitted, goal.target)[name] for name in names}
    late = best_scores(inner, {}, keep_at)
    kept = late >= measured_threshold(late, fitted, goal)
    early = early_thresholds({name: inner[name] for name in names[:-1]}, kept, max_lost)
    outer = {name: calibration.scores(held_out, goal.target)[name] for name in names}
    scores = best_scores(outer, early, keep_at)
    found = find_threshold(scores, held_out, goal, calibration.grid(goal.target, names[-1]))
    if isinstance(found, Infeasible):
        return found
    policy = make_policy(goal, names, early, keep_at, found.threshold)
    return certificate_of(policy, scores, held_out, goal, found)


def early_thresholds(
    scores: Mapping[Checkpoint, Floats], kept: Mask, max_lost: float = MAX_LOST
) -> dict[Checkpoint, float]:
    """Below which score to give up at each checkpoint; -inf: at none.

    `scores` (n,) each, of the checkpoints before the last one, NaN where not reached; `kept` (n,):
    what deciding at the end alone keeps. At most a share `max_lost` of that is escalated early,
    spent in equal parts; what a checkpoint leaves is for the next one. In expectation this holds
    for new requests, too (conformal risk control: one less than that share is spent).
    """
    is_open = np.ones(len(kept), np.bool_)
    num_lost = 0
    limits = {}
    for index, (name, score) in enumerate(scores.items(), start=1):
        allowed = max_lost * (kept.sum() + 1) * index / len(scores) - 1 - num_lost
        limits[name] = _give_up_below(score[is_open & kept], allowed)
        given_up = is_open & (score < limits[name])
        num_lost += int((given_up & kept).sum())
        is_open &= ~given_up
    return limits


def best_scores(
    scores: Mapping[Checkpoint, Floats],
    early: Mapping[Checkpoint, float],
    keep_at: Sequence[Checkpoint],
) -> Floats:
    """(n,) the largest threshold at which each request is kept; -inf: it is escalated before."""
    num_rows = len(next(iter(scores.values())))
    best = np.full(num_rows, -np.inf)
    is_open = np.ones(num_rows, np.bool_)
    for name, score in scores.items():
        is_open &= ~(score < early.get(name, -np.inf))
        if name in keep_at:
            best = np.where(is_open, np.fmax(best, score), best)
    return best


def make_policy(
    goal: Goal,
    names: Sequence[Checkpoint],
    early: Mapping[Checkpoint, float],
    keep_at: Sequence[Checkpoint],
    threshold: float,
) -> Policy:
    """The policy that keeps exactly what has a best score of at least `threshold`."""
    limits = {}
    for name in names:
        keep_from = threshold if name in keep_at else np.inf
        limits[name] = Thresholds(early.get(name, -np.inf), keep_from)
    limits[names[-1]] = Thresholds(threshold, threshold)
    return Policy(goal.target, MappingProxyType(limits))


def saved_tokens(policy: Policy, decisions: Decisions, outcomes: Outcomes) -> float | None:
    """Share of the escalated requests' local tokens that was never generated; None: there are none.

    Against deciding at the end, where every escalated draft had been written in full.

    Raises:
        CalibrationDataError: `local_tokens` is not known.
    """
    if outcomes.local_tokens is None:
        raise CalibrationDataError("local_tokens are not known", hint="add them to the outcomes")
    spent = outcomes.local_tokens.copy()
    for index, name in enumerate(policy.thresholds):
        if name in outcomes.spent_tokens:
            here = decisions.checkpoint == index
            spent[here] = np.fmin(outcomes.spent_tokens[name], outcomes.local_tokens)[here]
    escalated = ~decisions.kept
    total = float(outcomes.local_tokens[escalated].sum())
    return 1.0 - float(spent[escalated].sum()) / total if total else None


def _up_to_last(calibration: Calibration, keep_at: Sequence[Checkpoint]) -> list[Checkpoint]:
    missing = [name for name in keep_at if name not in calibration.checkpoints]
    if missing or not keep_at:
        raise CalibrationDataError(
            f"nothing was fitted for {missing or 'no checkpoint'!r}",
            hint="known: " + ", ".join(calibration.checkpoints),
        )
    names = list(calibration.checkpoints)
    return names[: max(map(names.index, keep_at)) + 1]


def _give_up_below(kept_scores: Floats, allowed: float) -> float:
    """The largest threshold with at most `allowed` of the kept ones below it."""
    reached = np.sort(kept_scores[~np.isnan(kept_scores)])
    if allowed < 0.0 or not len(reached):
        return -np.inf
    return float(reached[min(int(allowed), len(reached) - 1)]) - ROUNDING
