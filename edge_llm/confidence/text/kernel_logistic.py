"""Logistic regression with an L2 penalty for rows that are much longer than they are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edge_llm.confidence.arrays import Floats, Indices

NUM_STEPS = 8
FOLDS = 3
_LEAST = 1e-4
"""Bound on p (1 - p), so that rows that are certain do not swamp the rest."""


class Dual(NamedTuple):
    """The weights are `rows.T @ weight`, the decision `kernel @ weight + bias`."""

    weight: Floats
    bias: float


def fit_dual(kernel: Floats, labels: Floats, penalty: float) -> Dual:
    """The minimum of the log-loss plus penalty/2 |w|^2, the bias free; `kernel` (n, n) = X X^T.

    Newton's method in the dual: n x n, however many columns X has. Labels (n,) in [0, 1].
    Source: Rasmussen & Williams, "Gaussian Processes for Machine Learning", algorithm 3.1.
    """
    num_rows = len(labels)
    share = float(np.clip(labels.mean(), 0.5 / num_rows, 1.0 - 0.5 / num_rows))
    bias = float(np.log(share / (1.0 - share)))
    weight, decision = np.zeros(num_rows), np.full(num_rows, bias)
    for _ in range(NUM_STEPS):
        p = sigmoid(decision)
        curvature = np.maximum(p * (1.0 - p), _LEAST)
        target = decision + (labels - p) / curvature
        system = kernel + np.diag(penalty / curvature)
        solved = np.linalg.solve(system, np.stack([np.ones(num_rows), target], axis=1))
        bias = float(solved[:, 1].sum() / solved[:, 0].sum())
        weight = solved[:, 1] - bias * solved[:, 0]
        before, decision = decision, kernel @ weight + bias
        if np.abs(decision - before).max() < 1e-3:
            break
    return Dual(weight, bias)


def choose_penalty(
    kernel: Floats, labels: Floats, candidates: Sequence[float], rng: np.random.Generator
) -> float:
    """The penalty with the smallest log-loss on rows that were left out, in turn."""
    order = rng.permutation(len(labels))
    losses = [
        np.mean([_loss(kernel, labels, penalty, order[k::FOLDS], order) for k in range(FOLDS)])
        for penalty in candidates
    ]
    return candidates[int(np.argmin(losses))]


def predict_dual(kernel: Floats, dual: Dual) -> Floats:
    """Probabilities (m,) for rows whose products with the fitted ones are `kernel` (m, n)."""
    return sigmoid(kernel @ dual.weight + dual.bias)


def sigmoid(decision: Floats) -> Floats:
    """1 / (1 + exp(-decision)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * decision)), np.float64)


def _loss(
    kernel: Floats, labels: Floats, penalty: float, left_out: Indices, order: Indices
) -> float:
    fitted = np.setdiff1d(order, left_out)
    dual = fit_dual(kernel[np.ix_(fitted, fitted)], labels[fitted], penalty)
    p = np.clip(predict_dual(kernel[np.ix_(left_out, fitted)], dual), 1e-6, 1.0 - 1e-6)
    truth = labels[left_out]
    return float(-np.mean(truth * np.log(p) + (1.0 - truth) * np.log(1.0 - p)))
