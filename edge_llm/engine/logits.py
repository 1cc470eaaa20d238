"""One row of logits, read as few times as can be: what the sampler and the statistics share.

The row is seen as a grid with a few thousand columns. One pass finds the largest logit of every
column; the most likely tokens can only be in the columns with the largest maxima, so that finding
and ordering them costs a few thousand elements, never a vocabulary. Knows no requests. Not
thread-safe: rows of one engine share a `Workspace`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_llm.constrain.mask import TokenMask, create_scratch
from edge_llm.errors import BackendError

NUM_COLUMNS = 2048
"""Columns of the grid: with 152k tokens, 64 leaders are found among 64 of 2048 columns of 75."""

FEW = 64
"""How many leaders are looked up at least: enough for most nuclei and every top-20 at once."""

FEW_ALLOWED = 4096
"""So many allowed tokens are looked up one by one; of more, the whole vocabulary is masked."""

_STEEPEST = 1e20
"""Bound on 1 / temperature, so that 0 times it stays 0 in float32."""


class Workspace:
    """Buffers as long as the vocabulary: one set for each engine, reused for every token."""

    def __init__(self) -> None:
        self.size = 0

    def fit(self, vocab_size: int) -> None:
        """Make the buffers this long; nothing happens when they are."""
        if vocab_size == self.size:
            return
        self.size = vocab_size
        self.num_columns = min(NUM_COLUMNS, vocab_size)
        num_rows = -(-vocab_size // self.num_columns)
        self.starts = np.arange(num_rows, dtype=np.int64)[:, None] * self.num_columns
        self.maxima = np.empty(self.num_columns, np.float32)
        self.edited = np.empty(vocab_size, np.float32)
        self.grid = np.zeros((num_rows, self.num_columns), np.float32)
        self.mask = create_scratch(vocab_size)
        self.weights = self.grid.reshape(-1)[:vocab_size]
        """A view of `grid`; what the grid holds beyond it is always 0."""


class Leaders(NamedTuple):
    """The beginning of the vocabulary in order of likelihood; equal logits by the smaller id."""

    ids: NDArray[np.int64]
    logits: NDArray[np.float32]


class LogitRow:
    """One row of logits (vocab_size,) and what has been found out about it. Never writes to it."""

    def __init__(self, logits: NDArray[np.float32], workspace: Workspace | None = None) -> None:
        """Find the largest logit.

        Raises:
            BackendError: the logits are not numbers, or all are -inf.
        """
        self.logits = logits
        self.workspace = workspace or Workspace()
        self.workspace.fit(len(logits))
        self.best_id = int(logits.argmax())  # a NaN counts as the largest
        self.top = float(logits[self.best_id])
        if not math.isfinite(self.top):
            raise BackendError("the model computed logits that are not numbers")
        self._leaders: Leaders | None = None
        self._masses: dict[float, float] = {}

    def leaders(self, count: int) -> Leaders:
        """The most likely tokens in order: at least `count` of them, or the whole vocabulary."""
        count = min(max(count, FEW), len(self.logits))
        if self._leaders is None or len(self._leaders.ids) < count:
            self._leaders = self._find_leaders(count)
        return self._leaders

    def mass(self, temperature: float) -> float:
        """Sum of `weights`, from 1 for a certain token to the size of the vocabulary.

        Over all tokens, not only the likely ones: right to about 1e-6 for any distribution.
        """
        mass = self._masses.get(temperature)
        if mass is None:
            self.weights(temperature)
            # Adding rows of the grid is four times faster than one long sum, and as exact.
            mass = float(self.workspace.grid.sum(axis=0).sum(dtype=np.float64))
            self._masses[temperature] = mass
        return mass

    def allowed_share(self, mask: TokenMask) -> float:
        """Probability of the allowed tokens together, in [0, 1]."""
        if mask.num_allowed <= FEW_ALLOWED:
            logits = self.logits[mask.ids].astype(np.float64)
            allowed = float(np.exp(logits - self.top).sum())
        else:
            self._masses.pop(1.0, None)  # so that the weights are there again
            self.mass(1.0)
            allowed = mask.sum_of(self.workspace.weights, self.workspace.mask)
        return min(1.0, allowed / self.mass(1.0))

    def weights(self, temperature: float) -> NDArray[np.float32]:
        """Probabilities relative to the most likely token, in [0, 1]: (vocab_size,).

        In the workspace: the next call for any row, and of `mass`, overwrites them.
        """
        weights = self.workspace.weights
        with np.errstate(over="ignore"):  # the lowest float32 is a common stand-in for -inf
            np.subtract(self.logits, np.float32(self.top), out=weights)
            if temperature != 1.0:
                np.multiply(weights, np.float32(min(1 / temperature, _STEEPEST)), out=weights)
            return np.exp(weights, out=weights)

    def _find_leaders(self, count: int) -> Leaders:
        columns, least = self._leading_columns(count)
        ids = np.add(self.workspace.starts, columns).reshape(-1)
        ids = ids[: np.searchsorted(ids, len(self.logits))]  # the last row of the grid is shorter
        logits = self.logits[ids]
        near = np.flatnonzero(logits >= least)
        ids, logits = ids[near], logits[near]
        if len(ids) > 4 * count:
            kept = largest(logits, count)
            ids, logits = ids[kept], logits[kept]
        order = np.argsort(-logits, kind="stable")
        return Leaders(ids[order], logits[order])

    def _leading_columns(self, count: int) -> tuple[NDArray[np.intp], np.float32]:
        """Columns that hold all tokens of at least some logit, `count` or more, and that logit."""
        num_columns = self.workspace.num_columns
        if count >= num_columns:
            return np.arange(num_columns), np.float32(-np.inf)
        maxima = self.workspace.maxima
        num_rows = len(self.logits) // num_columns
        split = num_rows * num_columns
        np.maximum.reduce(self.logits[:split].reshape(num_rows, num_columns), axis=0, out=maxima)
        rest = self.logits[split:]
        np.maximum(maxima[: len(rest)], rest, out=maxima[: len(rest)])
        least = np.partition(maxima, num_columns - count)[num_columns - count]
        return np.flatnonzero(maxima >= least), least


def largest(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Where the `count` largest values are, in rising order; the first of equal ones are taken."""
    if count >= len(values):
        return np.arange(len(values))
    least = np.partition(values, len(values) - count)[len(values) - count]
    above = np.flatnonzero(values > least)
    equal = np.flatnonzero(values == least)[: count - len(above)]
    return np.sort(np.concatenate([above, equal]))
