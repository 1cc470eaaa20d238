"""What different ways to run the same two tiers would have done, from one set of recordings.

A policy is fitted and certified on four fifths of the questions and played on the fifth, five
times, so that no question is decided by what was learned from it. Played, not estimated:
correctness and cost are those of the recorded answers; who wins a race, the recorded seconds say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_llm.confidence.arrays import Floats, Indices, Mask
from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.checkpoints import END, Checkpoint
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.goals import AccuracyLoss, Goal
from edge_llm.errors import CalibrationDataError
from edge_llm.evaluate.fitting import EARLY_LOST, fit_halves
from edge_llm.evaluate.outcomes import checkpoints
from edge_llm.evaluate.recording import Recording, Said

FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What one configuration would have done; all arrays (n,)."""

    name: str
    correct: Floats
    cost_usd: Floats
    escalated: Floats
    """1 where the cloud gave the answer."""
    latency_s: Floats
    """NaN where it was not recorded."""
    local_tokens: Floats
    """Generated here, wasted ones too."""
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What policies decided on questions that they had not seen; all arrays (n,)."""

    kept: Mask
    checkpoint: list[Checkpoint]
    """Where."""
    scores: dict[Checkpoint, Floats]
    thresholds: Floats
    """At the end of each draft."""
    infeasible: list[Infeasible]
    """Of the parts where nothing could be certified; there everything is escalated."""


def local_only(recordings: Sequence[Recording]) -> Played:
    """Nothing is escalated."""
    return _played("local only", recordings, np.ones(len(recordings), np.bool_))


def cloud_only(recordings: Sequence[Recording]) -> Played:
    """Everything goes to the cloud at once; no draft is written."""
    cloud = [_cloud(one) for one in recordings]
    count = len(recordings)
    return Played(
        "cloud only",
        _cloud_correct(recordings),
        np.array([said.cost_usd for said in cloud]),
        np.ones(count),
        _seconds([said.e2e_s for said in cloud]),
        np.zeros(count),
    )


def hybrid(recordings: Sequence[Recording], decided: Decided, name: str) -> Played:
    """Drafts below a threshold are answered by the cloud instead."""
    played = _played(name, recordings, decided.kept, decided.checkpoint)
    if not decided.infeasible:
        return played
    where = f"infeasible in {len(decided.infeasible)} of {FOLDS} parts, all escalated there"
    return replace(played, note=f"{where}: {decided.infeasible[0].reason}")


def race(recordings: Sequence[Recording], decided: Decided, band: float, name: str) -> Played:
    """As a hybrid, but a draft less than `band` above its threshold is raced by the cloud.

    The cloud wins where its first word came before the draft's end. A lost race is paid in full:
    more than is asked for by who cancels.
    """
    played = _played(name, recordings, decided.kept, decided.checkpoint)
    for row, one in enumerate(recordings):
        began_s = _race_begins_s(one, row, decided, band)
        cloud, ends_s = _cloud(one), one.local.e2e_s
        if began_s is None or ends_s is None or cloud.ttft_s is None or cloud.e2e_s is None:
            continue
        if decided.kept[row]:
            played.cost_usd[row] += cloud.cost_usd
            if began_s + cloud.ttft_s >= ends_s:
                continue
            played.correct[row] = float(one.cloud_correct or 0.0)
            played.escalated[row] = 1.0
        played.latency_s[row] = began_s + cloud.e2e_s
    return played


def refined(recordings: Sequence[Recording], decided: Decided, name: str) -> Played:
    """As a hybrid that decides at the end, but the cloud sees the draft and improves it.

    Raises:
        CalibrationDataError: no improved answer was recorded for an escalated question.
    """
    kept = decided.kept
    played = _played(name, recordings, kept)
    for row in np.flatnonzero(~kept).tolist():
        one = recordings[row]
        if one.refined is None or one.refined_correct is None:
            raise CalibrationDataError(f"question {one.id!r} has no refined answer")
        played.correct[row] = one.refined_correct
        played.cost_usd[row] = one.local.cost_usd + one.refined.cost_usd
        played.latency_s[row] = _sum_s(one.local.e2e_s, one.refined.e2e_s)
    return played


@dataclass(frozen=True, slots=True)
class Plan:
    """A goal, and whether drafts are given up before their end."""

    goal: Goal
    max_lost: float = EARLY_LOST
    """As in `certify_policy`; 0 decides nothing early."""


def decide(recordings: Sequence[Recording], plans: Sequence[Plan], seed: int = 0) -> list[Decided]:
    """What each plan's policy does, fitted and certified on other questions each time.

    Raises:
        CalibrationDataError: too few questions.
    """
    found = [_undecided(recordings) for _ in plans]
    for fold, rows in enumerate(folds(recordings, seed)):
        others = np.setdiff1d(np.arange(len(recordings)), rows).tolist()
        known = [recordings[index] for index in others]
        halves = fit_halves(known, _NOBODY, seed=seed + fold)
        fresh = halves.judge([recordings[index] for index in rows.tolist()])
        for plan, decided in zip(plans, found, strict=True):
            scores = halves.calibration.scores(fresh, plan.goal.target)
            _decide_fold(decided, rows, scores, halves.certify(plan.goal, plan.max_lost))
    return found


def _undecided(recordings: Sequence[Recording]) -> Decided:
    count = len(recordings)
    scores = {name: np.full(count, np.nan) for name in checkpoints(recordings)}
    return Decided(np.zeros(count, np.bool_), [END] * count, scores, np.full(count, np.inf), [])


def _decide_fold(
    decided: Decided,
    rows: Indices,
    scores: Mapping[Checkpoint, Floats],
    found: Certificate | Infeasible,
) -> None:
    for name, values in scores.items():
        decided.scores[name][rows] = values
    if not isinstance(found, Certificate):
        decided.infeasible.append(found)
        return
    decisions = found.policy.replay(scores)
    names = list(found.policy.thresholds)
    decided.kept[rows] = decisions.kept
    decided.thresholds[rows] = found.policy.threshold
    for row, index in zip(rows.tolist(), decisions.checkpoint.tolist(), strict=True):
        decided.checkpoint[row] = names[int(index)]


def folds(recordings: Sequence[Recording], seed: int) -> list[Indices]:
    """Rows of each fold; those of one group or prompt are in one."""
    owners = [one.group or one.prompt or one.id for one in recordings]
    names = sorted(set(owners))
    if len(names) < FOLDS:
        raise CalibrationDataError(f"{len(names)} different questions are too few to compare on")
    order = np.random.default_rng(seed).permutation(len(names))
    place = {names[index]: number % FOLDS for number, index in enumerate(order)}
    numbers = np.array([place[owner] for owner in owners])
    return [np.flatnonzero(numbers == fold).astype(np.int64) for fold in range(FOLDS)]


_NOBODY = Binding("compared", "", "")


def hybrid_name(goal: Goal) -> str:
    """What a hybrid with this goal is called in tables."""
    if isinstance(goal, AccuracyLoss):
        return f"hybrid, loss ≤ {goal.epsilon:g}"
    return f"hybrid, error ≤ {goal.alpha:g}"


def _played(
    name: str,
    recordings: Sequence[Recording],
    kept: Mask,
    where: Sequence[Checkpoint] | None = None,
) -> Played:
    """Kept answers are the local ones; others come from the cloud after the draft was given up."""
    count = len(recordings)
    latency, tokens = np.full(count, np.nan), np.zeros(count)
    for row, one in enumerate(recordings):
        tokens[row] = one.local.completion_tokens
        if kept[row]:
            latency[row] = np.nan if one.local.e2e_s is None else one.local.e2e_s
            continue
        look = one.local.looks.get(END if where is None else where[row])
        given_up_s = one.local.e2e_s if look is None or look.time_s is None else look.time_s
        if look is not None and look.num_tokens is not None:
            tokens[row] = look.num_tokens
        latency[row] = _sum_s(given_up_s, _cloud(one).e2e_s)
    local = np.array([one.local_correct for one in recordings], np.float64)
    costs = np.array([one.local.cost_usd for one in recordings], np.float64)
    if not kept.all():
        correct = np.where(kept, local, _cloud_correct(recordings))
        paid = np.array([_cloud(one).cost_usd for one in recordings])
        costs = costs + np.where(kept, 0.0, paid)
        return Played(name, correct, costs, (~kept).astype(np.float64), latency, tokens)
    return Played(name, local, costs, np.zeros(count), latency, tokens)


def _race_begins_s(one: Recording, row: int, decided: Decided, band: float) -> float | None:
    """When the cloud was set to work beside the draft; None: it never was."""
    line = decided.thresholds[row] + band
    for name, look in one.local.looks.items():
        score = decided.scores[name][row] if name in decided.scores else np.nan
        if name == END or name == decided.checkpoint[row] or look.time_s is None:
            return None
        if score < line:
            return look.time_s
    return None


def _cloud(one: Recording) -> Said:
    return one.cloud if one.cloud is not None else Said()


def _cloud_correct(recordings: Sequence[Recording]) -> Floats:
    if any(one.cloud_correct is None for one in recordings):
        raise CalibrationDataError(
            "the cloud was not asked every question", hint="leave out those that it was not asked"
        )
    return np.array([one.cloud_correct for one in recordings], np.float64)


def _seconds(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if one is None else one for one in values], np.float64)


def _sum_s(one: float | None, other: float | None) -> float:
    return np.nan if one is None or other is None else one + other
