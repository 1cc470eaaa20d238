"""The laxest threshold whose expected loss against always asking the cloud stays within epsilon.

Loss rises as the threshold falls, so that one step over the sorted scores finds it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge_llm.confidence.guarantees.binomial import trials_without_failure
from edge_llm.confidence.guarantees.bounds import is_binary, mean_p_value
from edge_llm.confidence.guarantees.certificate import Infeasible
from edge_llm.confidence.guarantees.goals import AccuracyLoss
from edge_llm.confidence.guarantees.sample import Sample, above


class Found(NamedTuple):
    """A threshold, what was measured above it, and what is proven."""

    threshold: float
    risk: float
    risk_bound: float


def bound_loss(sample: Sample, goal: AccuracyLoss) -> Found | Infeasible:
    """Conformal risk control for the mean, and an upper bound for a single calibration.

    Keeps from the lowest score on for which (total loss + B) / (n + 1) <= epsilon, B the largest
    loss that one more row could have. Then the expected loss of the next request is at most epsilon
    whatever the distribution. The tail is a test that the mean loss is above `tail_epsilon`, passed
    at level `tail_delta` by every stricter threshold, too.
    Source: Angelopoulos et al., "Conformal Risk Control", ICLR 2024, theorem 1; Bates et al. 2021,
    theorem 1.
    """
    num_rows = len(sample)
    fewest = _fewest_labels(sample, goal)
    if num_rows < fewest:
        return _too_few(goal, num_rows, fewest)
    scores, lost, _ = sample.levels()
    allowed = min(_mean_limit(sample, goal), _tail_limit(sample, goal))
    num_kept = int(np.searchsorted(lost, allowed + 1e-9, side="right"))
    if num_kept == 0:
        return _too_much(sample, goal, float(lost[0]) if len(lost) else math.inf)
    # Up to the first score that would be too much: nothing was lost in between.
    threshold = above(scores[num_kept]) if num_kept < len(scores) else 0.0
    total = float(lost[num_kept - 1])
    bound = (total + sample.largest_weight) / (num_rows + 1)
    return Found(threshold, total / num_rows, bound)


def _mean_limit(sample: Sample, goal: AccuracyLoss) -> float:
    """The largest total loss that conformal risk control allows."""
    return goal.epsilon * (len(sample) + 1) - sample.largest_weight


def _tail_limit(sample: Sample, goal: AccuracyLoss) -> float:
    """The largest total loss with which the test is passed."""
    level = 1.0 if goal.tail_epsilon is None else goal.tail_epsilon
    if level >= 1.0:
        return math.inf
    top = sample.largest_weight
    exact = top == 1.0 and is_binary(sample.losses)
    low, high = 0, len(sample)
    while high - low > 1:
        middle = (low + high) // 2
        p_value = mean_p_value(middle, len(sample), level / top, exact=exact)
        low, high = (middle, high) if p_value <= goal.tail_delta else (low, middle)
    return low * top


def _fewest_labels(sample: Sample, goal: AccuracyLoss) -> int:
    """With fewer not even a sample without any loss would do."""
    if not len(sample):
        return math.ceil(1.0 / goal.epsilon)
    top = sample.largest_weight
    fewest = math.ceil(top / goal.epsilon - 1.0 - 1e-9)
    level = 1.0 if goal.tail_epsilon is None else goal.tail_epsilon
    if level < 1.0:
        fewest = max(fewest, trials_without_failure(level / top, goal.tail_delta))
    return fewest


def _too_few(goal: AccuracyLoss, num_rows: int, fewest: int) -> Infeasible:
    return Infeasible(
        goal,
        f"{num_rows} labels cannot certify a loss of {goal.epsilon:g}, even without an error",
        (f"bring at least {fewest} labels that are held out",),
        num_rows,
        labels_needed=fewest,
    )


def _too_much(sample: Sample, goal: AccuracyLoss, lost: float) -> Infeasible:
    num_rows, top = len(sample), sample.largest_weight
    if math.isinf(lost):
        return Infeasible(goal, "every request is escalated before it could be kept", (), num_rows)
    first = sample.scores == sample.scores.max()
    share = float(sample.weights[first].sum() / num_rows)
    rate = lost / num_rows
    needed = None
    if rate < goal.epsilon:
        needed = math.ceil((top - goal.epsilon) / (goal.epsilon - rate))
        advice = [f"bring about {needed} labels, if they come out as these did"]
    else:
        advice = ["more labels would not help: bring a signal that tells these requests apart"]
    reachable = math.ceil(1000 * (lost + top) / (num_rows + 1)) / 1000
    accuracy = 1.0 - goal.epsilon / share if share > goal.epsilon else 0.0
    advice.append(f"ask for a loss of {reachable:.3f} or more")
    advice.append(
        f"or use a local model that is as good as the cloud in {accuracy:.1%} of what it is surest "
        f"of ({share:.1%} of all); this one is in {1.0 - rate / share:.1%}"
    )
    return Infeasible(
        goal,
        f"the requests that the score trusts most already lose {rate:.3f} of accuracy",
        tuple(advice),
        num_rows,
        labels_needed=needed,
        level_reachable=reachable,
        local_accuracy_needed=accuracy,
    )
