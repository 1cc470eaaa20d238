"""The laxest threshold above which at most a share alpha of the kept answers is wrong.

That share may rise and fall with the threshold, so that each threshold is a hypothesis to reject.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.guarantees.accuracy_loss import Found
from edge_llm.confidence.guarantees.binomial import trials_without_failure
from edge_llm.confidence.guarantees.bounds import is_binary, mean_p_value
from edge_llm.confidence.guarantees.certificate import Infeasible
from edge_llm.confidence.guarantees.goals import SelectiveError
from edge_llm.confidence.guarantees.sample import ROUNDING, Sample, above

START_SHARES = (0.0, 0.25, 0.5, 0.75)
"""Kept shares at which a sequence of tests begins, each with an equal part of delta."""
RANK_SHARES = tuple(share / 10 for share in range(1, 11))
"""Kept shares that are tried without a grid, each with a tenth of delta."""
_HEAD_START = 3
"""The first sequence begins where so many times the fewest labels are kept: one error is no end."""
_MOST_LABELS = 1 << 24
_EXPLAINED = 8
"""Of the thresholds that were tried, so many are asked what would have let them pass."""


class Tried(NamedTuple):
    """One threshold, what is kept above it, and the level at which it was tested."""

    threshold: float
    num_kept: int
    errors: float
    """Of rows of weight at most 1, so that their number is a sum of values in [0, 1]."""
    level: float
    """What their mean must be below."""
    delta: float
    p_value: float


def bound_error(
    sample: Sample, goal: SelectiveError, grid: Floats | None
) -> tuple[list[Found], list[Tried]]:
    """Every threshold that passes, strictest first, and every one that was tried.

    All that pass are right at once with probability 1 - delta. With a `grid` that was fixed before
    these rows, thresholds are tested from strict to lax in sequences, each handing what it has not
    spent to the next. Without one, thresholds lie at fixed ranks: the rows strictly above the r-th
    score are, given that score, a fair sample of all above it.
    Source: Angelopoulos et al., "Learn then Test", 2021; Wiens, "A fixed sequence Bonferroni
    procedure", 2003.
    """
    exact = sample.largest_weight == 1.0 and is_binary(sample.losses)
    tried = _on_ranks(sample, goal, exact) if grid is None else _on_grid(sample, goal, grid, exact)
    return [_found(sample, one, goal) for one in tried if one.p_value <= one.delta], tried


def explain(tried: list[Tried], sample: Sample, goal: SelectiveError) -> Infeasible:
    """Why none passed, and what would."""
    fewest = trials_without_failure(goal.alpha, goal.delta)
    if not tried:
        return Infeasible(
            goal,
            f"{len(sample)} labels leave too few kept answers to certify any error",
            (f"bring labels until at least {_HEAD_START * fewest} answers can be kept",),
            len(sample),
            labels_needed=_HEAD_START * fewest,
        )
    exact = sample.largest_weight == 1.0 and is_binary(sample.losses)
    some = tried[:: math.ceil(len(tried) / _EXPLAINED)]
    best = min(tried, key=lambda one: one.errors / max(1, one.num_kept))
    accuracy = 1.0 - float(np.average(sample.losses[sample.kept(best.threshold)]))
    needed = min(
        (found for one in some if (found := _labels_needed(one, sample, exact)) is not None),
        default=None,
    )
    reachable = math.ceil(1000 * min(_level_reachable(one, goal, exact) for one in some)) / 1000
    if needed is None:
        advice = [
            "more labels would not help: bring a signal that tells right from wrong better, or a "
            f"local model that is right in more than {1.0 - goal.alpha:.1%} of what it is surest of"
        ]
    else:
        advice = [f"bring about {needed} held-out labels, if they come out as these did"]
    advice.append(f"or allow an error of {reachable:.3f}")
    return Infeasible(
        goal,
        f"of the answers it is surest of, {accuracy:.1%} are right; with {best.num_kept} of them "
        f"that does not prove {1.0 - goal.alpha:.1%}",
        tuple(advice),
        len(sample),
        labels_needed=needed,
        level_reachable=reachable if reachable < 1.0 else None,
        local_accuracy_needed=1.0 - goal.alpha if needed is None else None,
    )


def _on_grid(sample: Sample, goal: SelectiveError, grid: Floats, exact: bool) -> list[Tried]:
    thresholds = np.unique(np.maximum(0.0, grid - ROUNDING))[::-1]
    kept = [int(sample.kept(one).sum()) for one in thresholds]
    starts = _starts(kept, goal)
    spent = dict.fromkeys(starts, goal.delta / len(starts)) if starts else {}
    tried: list[Tried] = []
    carried = 0.0
    for index in range(starts[0] if starts else len(kept), len(kept)):
        if tried and kept[index] == tried[-1].num_kept and index not in spent:
            continue
        delta = carried + spent.get(index, 0.0)
        one = _test(sample, goal, float(thresholds[index]), delta, exact)
        tried.append(one)
        carried = delta if one.p_value <= delta else 0.0
    return tried


def _starts(kept: list[int], goal: SelectiveError) -> list[int]:
    """Indices chosen by how much is kept alone: labels play no part."""
    fewest = _HEAD_START * trials_without_failure(goal.alpha, goal.delta)
    most = kept[-1] if kept else 0
    wanted = {max(fewest, math.ceil(share * most)) for share in START_SHARES}
    found = {
        next((index for index, count in enumerate(kept) if count >= least), None)
        for least in wanted
    }
    return sorted(index for index in found if index is not None)


def _on_ranks(sample: Sample, goal: SelectiveError, exact: bool) -> list[Tried]:
    falling = np.sort(sample.scores[np.isfinite(sample.scores)])[::-1]
    ranks = sorted({int(share * len(falling)) for share in RANK_SHARES} - {0})
    delta = goal.delta / max(1, len(ranks))
    fewest = trials_without_failure(goal.alpha, delta)
    thresholds = sorted({above(falling[rank - 1]) for rank in ranks}, reverse=True)
    tried = [_test(sample, goal, one, delta, exact) for one in thresholds]
    return [one for one in tried if one.num_kept >= fewest]


def _test(
    sample: Sample, goal: SelectiveError, threshold: float, delta: float, exact: bool
) -> Tried:
    rows = sample.kept(threshold)
    num_kept = int(rows.sum())
    losses, weights = sample.losses[rows], sample.weights[rows]
    if exact:
        errors = float(losses.sum())
        p_value = mean_p_value(errors, num_kept, goal.alpha, exact=True)
        return Tried(threshold, num_kept, errors, goal.alpha, delta, p_value)
    # E[w (loss - alpha)] <= 0, moved and scaled into [0, 1].
    shares = weights / sample.largest_weight
    errors = float((shares * (losses - goal.alpha)).sum()) + goal.alpha * num_kept
    p_value = mean_p_value(errors, num_kept, goal.alpha, exact=False)
    return Tried(threshold, num_kept, errors, goal.alpha, delta, p_value)


def _found(sample: Sample, one: Tried, goal: SelectiveError) -> Found:
    rows = sample.kept(one.threshold)
    risk = float(np.average(sample.losses[rows], weights=sample.weights[rows]))
    return Found(one.threshold, risk, goal.alpha)


def _labels_needed(one: Tried, sample: Sample, exact: bool) -> int | None:
    """In all, for this threshold to pass with the share of errors that it has; None: never."""
    if one.num_kept == 0 or one.errors / one.num_kept >= one.level or one.delta == 0.0:
        return None
    low, high = 1.0, 2.0
    while not _passes(one, high, exact):
        low, high = high, 2 * high
        if high * len(sample) > _MOST_LABELS:
            return None
    while high - low > 0.01 * low:
        middle = (low + high) / 2
        low, high = (low, middle) if _passes(one, middle, exact) else (middle, high)
    return math.ceil(high * len(sample))


def _passes(one: Tried, times: float, exact: bool) -> bool:
    errors, num_kept = math.ceil(one.errors * times), math.floor(one.num_kept * times)
    return mean_p_value(errors, num_kept, one.level, exact=exact) <= one.delta


def _level_reachable(one: Tried, goal: SelectiveError, exact: bool) -> float:
    delta = one.delta or goal.delta / len(START_SHARES)
    low, high = goal.alpha, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        passes = mean_p_value(one.errors, one.num_kept, middle, exact=exact) <= delta
        low, high = (low, middle) if passes else (middle, high)
    return high
