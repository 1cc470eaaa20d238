"""The strictest threshold that a budget pays for."""

from __future__ import annotations

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.guarantees.bounds import mean_p_value
from edge_llm.confidence.guarantees.goals import Budget
from edge_llm.errors import CalibrationDataError


def strictest_threshold(
    scores: Floats, budget: Budget, cost_usd: Floats | None, weights: Floats
) -> float | None:
    """Any threshold up to this one keeps the budget with probability 1 - delta; None: none does.

    `scores` (n,); rows below a threshold are escalated and cost `cost_usd` (n,). Escalation falls
    with the threshold, so that no correction for many tests is needed.
    Source: Bates et al., "Distribution-Free, Risk-Controlling Prediction Sets", 2021, theorem 1.

    Raises:
        CalibrationDataError: a limit in USD, and costs are not known.
    """
    limits = _limits(scores, budget, cost_usd)
    delta = budget.delta / len(limits)
    found = [_strictest(scores, amounts, limit, weights, delta) for amounts, limit in limits]
    known = [one for one in found if one is not None]
    return min(known) if len(known) == len(found) else None


def _limits(scores: Floats, budget: Budget, cost_usd: Floats | None) -> list[tuple[Floats, float]]:
    """What an escalated row uses, in [0, 1], and what may be used of it on average."""
    limits = []
    if budget.escalation_rate is not None:
        limits.append((np.ones(len(scores)), budget.escalation_rate))
    if budget.usd_per_request is not None:
        if cost_usd is None:
            raise CalibrationDataError(
                "a budget in USD needs the cost of each request in the cloud",
                hint="add cloud_cost_usd, or limit the escalation rate",
            )
        top = float(cost_usd.max()) if budget.max_usd is None else budget.max_usd
        if top < cost_usd.max():
            raise CalibrationDataError(
                f"a request cost {float(cost_usd.max())!r} USD, above max_usd {top!r}"
            )
        if top > 0.0:
            limits.append((cost_usd / top, budget.usd_per_request / top))
    return limits or [(np.zeros(len(scores)), 0.5)]


def _strictest(
    scores: Floats, amounts: Floats, limit: float, weights: Floats, delta: float
) -> float | None:
    shares = weights / weights.max()
    exact = bool(shares.min() == 1.0 and ((amounts == 1.0) | (amounts == 0.0)).all())
    # What is used, where not all weights are one, is scaled with them.
    level = limit * float(weights.mean() / weights.max())
    distinct, place = np.unique(scores, return_inverse=True)
    used = np.cumsum(np.bincount(place, shares * amounts, len(distinct)))
    below = np.concatenate([[0.0], used])
    low, high = -1, len(distinct)
    while high - low > 1:
        middle = (low + high) // 2
        p_value = mean_p_value(float(below[middle]), len(scores), level, exact=exact)
        low, high = (middle, high) if p_value <= delta else (low, middle)
    return float(distinct[low]) if low >= 0 else None
