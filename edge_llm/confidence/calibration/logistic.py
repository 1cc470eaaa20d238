"""Logistic regression with an L2 penalty, fitted by Newton's method.

Targets may be anything in [0, 1]: a graded answer is part of one, part of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_llm.confidence.arrays import Floats, Indices

PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""Tried by cross-validation, for the mean loss and columns of variance 1: 1 / (n C) elsewhere."""
MAX_STEPS = 50
TOLERANCE = 1e-8
_SMALLEST_STEP = 1e-4
_BLOCK_PRODUCTS = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """log-odds = bias + weights . x."""

    weights: Floats
    bias: float

    def log_odds(self, columns: Floats) -> Floats:
        """(n,) for `columns` (n, k)."""
        found: Floats = np.einsum("nk,k->n", columns, self.weights)
        return found + self.bias


def sigmoid(log_odds: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(log_odds))
    return np.where(log_odds >= 0, 1.0, small) / (1.0 + small)


def fit_logistic(
    columns: Floats,
    target: Floats,
    weights: Floats,
    penalty: float,
    start: Linear | None = None,
) -> Linear:
    """The minimum of mean weighted log loss + penalty / 2 |w|^2; the bias is not penalised.

    `columns` (n, k), `target` (n,) in [0, 1] with both sides present, `weights` (n,) above 0.
    Newton's step, halved until the loss falls. Source: Hastie, Tibshirani and Friedman, "The
    Elements of Statistical Learning", section 4.4.1.
    """
    parts = _blocks(np.column_stack([columns, np.ones(len(columns))]))
    mass = weights / weights.sum()
    ridge = np.full(columns.shape[1] + 1, penalty)
    ridge[-1] = 0.0
    if start is None:
        base = float(mass @ target)
        found = np.append(np.zeros(columns.shape[1]), np.log(base / (1.0 - base)))
    else:
        found = np.append(start.weights, start.bias)
    log_odds = _apply(parts, found)
    loss = _loss(log_odds, target, mass, ridge, found)
    for _ in range(MAX_STEPS):
        step = _newton_step(parts, log_odds, target, mass, ridge, found)
        size = 1.0
        change = _apply(parts, step)
        fallen = _loss(log_odds - change, target, mass, ridge, found - step)
        while fallen > loss and size > _SMALLEST_STEP:
            size /= 2
            fallen = _loss(log_odds - size * change, target, mass, ridge, found - size * step)
        if not fallen < loss - TOLERANCE:
            break
        found, log_odds, loss = found - size * step, log_odds - size * change, fallen
    return Linear(found[:-1], float(found[-1]))


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """A model of all rows, and for each row what a model without it said."""

    model: Linear
    log_odds: Floats
    """(n,) of models that did not see the row."""
    penalty: float


def cross_fit(
    columns: Floats,
    target: Floats,
    weights: Floats,
    folds: Sequence[Indices],
    penalties: Sequence[float] = PENALTIES,
) -> CrossFitted:
    """The penalty with the smallest loss on rows left out, and the models that have it.

    `folds`: rows left out in turn; together they are all rows.
    """
    told = np.zeros((len(penalties), len(target)))
    # From the strongest penalty to the weakest: each start is near the next minimum.
    order = sorted(range(len(penalties)), key=lambda index: -penalties[index])
    for fold in folds:
        kept = np.ones(len(target), np.bool_)
        kept[fold] = False
        model = None
        for index in order:
            model = fit_logistic(
                columns[kept], target[kept], weights[kept], penalties[index], model
            )
            told[index, fold] = model.log_odds(columns[fold])
    losses = [float(weights @ log_loss_of(row, target)) for row in told]
    best = int(np.argmin(losses))
    return CrossFitted(
        fit_logistic(columns, target, weights, penalties[best]), told[best], penalties[best]
    )


def log_loss_of(log_odds: Floats, target: Floats) -> Floats:
    """(n,) log loss of each row, in nats, without overflow."""
    return np.logaddexp(0.0, log_odds) - target * log_odds


def _newton_step(
    parts: list[Floats],
    log_odds: Floats,
    target: Floats,
    mass: Floats,
    ridge: Floats,
    found: Floats,
) -> Floats:
    told = sigmoid(log_odds)
    # A floor, so that rows that are all certain leave the system solvable.
    curve = np.maximum(mass * told * (1.0 - told), 1e-12)
    miss = mass * (told - target)
    slope = ridge * found
    hessian = np.diag(ridge + 1e-12)
    first = 0
    for part in parts:
        rows = slice(first, first + len(part))
        slope = slope + part.T @ miss[rows]
        hessian = hessian + (part.T * curve[rows]) @ part
        first += len(part)
    return np.linalg.solve(hessian, slope).astype(np.float64)


def _apply(parts: list[Floats], weights: Floats) -> Floats:
    return np.concatenate([part @ weights for part in parts])


def _blocks(columns: Floats) -> list[Floats]:
    """Rows in blocks so small that BLAS multiplies them in this thread.

    Its threads wait for every core: with one of them busy, milliseconds become seconds. And sums
    come out the same, bit by bit, with any number of cores.
    """
    size = max(16, _BLOCK_PRODUCTS // columns.shape[1] ** 2)
    return [columns[first : first + size] for first in range(0, len(columns), size)]


def _loss(log_odds: Floats, target: Floats, mass: Floats, ridge: Floats, found: Floats) -> float:
    fit = mass @ log_loss_of(log_odds, target)
    return float(fit + ridge @ (found * found) / 2)
