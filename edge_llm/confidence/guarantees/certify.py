"""From scores and outcomes to a certificate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import Floats, share_column
from edge_llm.confidence.checkpoints import END, Checkpoint
from edge_llm.confidence.guarantees.accuracy_loss import Found, bound_loss
from edge_llm.confidence.guarantees.budget import strictest_threshold
from edge_llm.confidence.guarantees.certificate import Certificate, Infeasible
from edge_llm.confidence.guarantees.goals import AccuracyLoss, Budget, Goal
from edge_llm.confidence.guarantees.sample import make_sample
from edge_llm.confidence.guarantees.selective_error import bound_error, explain
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.confidence.policy import Policy, Thresholds


def certify(
    scores: ArrayLike,
    outcomes: Outcomes,
    goal: Goal,
    *,
    grid: Floats | None = None,
    checkpoint: Checkpoint = END,
) -> Certificate | Infeasible:
    """The policy "keep from this score on" that keeps the goal and keeps most requests.

    `scores` (n,): trust in [0, 1] at `checkpoint`, of a model that was fitted on other rows.
    `grid`: thresholds fixed without these outcomes (`Calibration.grid`), to choose among; without
    it `SelectiveError` pays for each threshold that it tries.

    Raises:
        CalibrationDataError: scores that do not fit, or a budget in USD without costs.
    """
    trust = share_column("scores", scores, len(outcomes))
    found = find_threshold(trust, outcomes, goal, grid)
    if isinstance(found, Infeasible):
        return found
    limits = Thresholds(found.threshold, found.threshold)
    return certificate_of(Policy(goal.target, {checkpoint: limits}), trust, outcomes, goal, found)


def find_threshold(
    scores: Floats, outcomes: Outcomes, goal: Goal, grid: Floats | None
) -> Found | Infeasible:
    """The laxest threshold that keeps the goal and its budget; scores may be -inf: never kept."""
    sample = make_sample(scores, _losses(outcomes, goal), outcomes.weight())
    if isinstance(goal, AccuracyLoss):
        one = bound_loss(sample, goal)
        found = one if isinstance(one, Infeasible) else [one]
    else:
        passed, tried = bound_error(sample, goal, grid)
        found = passed or explain(tried, sample, goal)
    if isinstance(found, Infeasible):
        return found
    laxest = min(found, key=lambda one: one.threshold)
    return (
        laxest
        if goal.budget is None
        else _within_budget(laxest, scores, outcomes, goal, goal.budget)
    )


def certificate_of(
    policy: Policy, scores: Floats, outcomes: Outcomes, goal: Goal, found: Found
) -> Certificate:
    """The certificate of a policy that keeps what scores at least the threshold found."""
    kept = scores >= found.threshold
    weights = outcomes.weight()
    cost = None
    if outcomes.cloud_cost_usd is not None:
        cost = float(np.average(np.where(kept, 0.0, outcomes.cloud_cost_usd), weights=weights))
    return Certificate(
        goal,
        policy,
        num_labels=int((~np.isnan(_losses(outcomes, goal))).sum()),
        kept_share=float(np.average(kept, weights=weights)),
        risk=found.risk,
        risk_bound=found.risk_bound,
        cost_usd_per_request=cost,
        assumes_cloud_is_right=isinstance(goal, AccuracyLoss) and not outcomes.has_cloud,
    )


def measured_threshold(scores: Floats, outcomes: Outcomes, goal: Goal) -> float:
    """The laxest threshold that keeps the goal on these rows, with no promise for others.

    inf where none does.
    """
    sample = make_sample(scores, _losses(outcomes, goal), outcomes.weight())
    levels, lost, kept = sample.levels()
    limit = goal.epsilon * len(sample) if isinstance(goal, AccuracyLoss) else goal.alpha * kept
    passed = levels[lost <= limit + 1e-9]
    return float(passed.min()) if len(passed) else float("inf")


def _losses(outcomes: Outcomes, goal: Goal) -> Floats:
    """(n,) what keeping a request loses; NaN: not known."""
    return outcomes.gain if isinstance(goal, AccuracyLoss) else outcomes.wrong


def _within_budget(
    found: Found, scores: Floats, outcomes: Outcomes, goal: Goal, budget: Budget
) -> Found | Infeasible:
    """The same threshold where the budget pays for it: a laxer one would break the goal."""
    limit = strictest_threshold(scores, budget, outcomes.cloud_cost_usd, outcomes.weight())
    if limit is not None and found.threshold <= limit:
        return found
    share = float(np.average(scores < found.threshold, weights=outcomes.weight()))
    advice = [
        f"allow an escalation rate of {min(1.0, share * 1.1):.1%} or more",
        "or a weaker goal",
    ]
    level = None
    if limit is not None:
        level = _level_within(limit, scores, outcomes, goal)
        advice.append(f"with this budget about {level:.3f} can be kept instead of the goal's level")
    return Infeasible(
        goal,
        f"the goal escalates {share:.1%} of the requests, and the budget does not pay for that",
        tuple(advice),
        len(outcomes),
        level_reachable=level,
    )


def _level_within(limit: float, scores: Floats, outcomes: Outcomes, goal: Goal) -> float:
    """What is lost, or wrong among kept ones, at the strictest threshold that is paid for."""
    sample = make_sample(scores, _losses(outcomes, goal), outcomes.weight())
    kept = sample.kept(limit)
    lost = float((sample.weights * sample.losses)[kept].sum())
    if isinstance(goal, AccuracyLoss):
        return (lost + sample.largest_weight) / (len(sample) + 1)
    return lost / max(1e-12, float(sample.weights[kept].sum()))
