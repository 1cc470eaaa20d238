"""Choosing the next token from one row of logits, the same way for every backend.

Knows no model. Never sorts a vocabulary: only the few tokens near the top, or near the border of a
nucleus, are ever put in order.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.constrain.mask import TokenMask
from edge_llm.engine.logits import FEW, FEW_ALLOWED, Leaders, LogitRow
from edge_llm.types import RANDOM_SEED_BITS, SamplingParams

_SORTABLE = 2048
"""Tokens that may be put in order; more are narrowed down first."""

_LOOKS = (FEW, 8 * FEW)
"""How many of the most likely tokens are looked at in turn, before all of them."""

_SAMPLE = 2048
"""Tokens to guess from where a nucleus ends, at least."""


class Sampler:
    """One sequence's random numbers and its memory of tokens for the penalties."""

    def __init__(self, params: SamplingParams, prompt_ids: Sequence[int]) -> None:
        self.params = params
        seed = secrets.randbits(RANDOM_SEED_BITS) if params.seed is None else params.seed
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._generated: Counter[int] = Counter()
        self._window: deque[int] = deque(prompt_ids, maxlen=params.penalty_window)
        self._bias_ids = np.fromiter(params.logit_bias.keys(), np.int64, len(params.logit_bias))
        self._bias = np.fromiter(params.logit_bias.values(), np.float32, len(params.logit_bias))

    def sample(self, row: LogitRow, mask: TokenMask | None = None) -> int:
        """The next token id; with a mask one of those that it allows.

        The mask comes before penalties, temperature and filters: what they see is a vocabulary of
        the allowed tokens alone. Where the model gives each of these a logit of -inf, it is the
        first of them.

        Raises:
            BackendError: nothing is possible any more.
        """
        if mask is not None:
            return self._sample_allowed(row, mask)
        if self._edits:
            row = LogitRow(self._edit(row), row.workspace)
        return self._choose(row)

    def _sample_allowed(self, row: LogitRow, mask: TokenMask) -> int:
        if not self._edits:
            token_id = self._sample_leader(row, mask)
            if token_id is not None:
                return token_id
        if mask.num_allowed <= FEW_ALLOWED:
            return self._sample_few(row, mask.ids)
        edited = self._edit(row) if self._edits else row.logits
        logits = row.workspace.edited
        mask.add_to(edited, row.workspace.mask, out=logits)
        if logits.max() == -np.inf:
            return int(mask.ids[0])
        return self._choose(LogitRow(logits, row.workspace))

    def _sample_few(self, row: LogitRow, allowed: NDArray[np.int64]) -> int:
        """One of a few tokens, in time that does not depend on the vocabulary without penalties."""
        if self.params.penalises:
            logits = self._edit(row)[allowed]
        else:
            logits = row.logits[allowed]
            self._bias_few(logits, allowed)
        best = int(logits.argmax())
        if logits[best] == -np.inf or (self.params.greedy and math.isfinite(logits[best])):
            return int(allowed[best])
        return int(allowed[self._choose(LogitRow(logits))])

    def _bias_few(self, logits: NDArray[np.float32], ids: NDArray[np.int64]) -> None:
        """Add the bias to the logits of some tokens; `ids` are in rising order."""
        if len(self._bias_ids) == 0:
            return
        places = np.minimum(np.searchsorted(ids, self._bias_ids), len(ids) - 1)
        named = ids[places] == self._bias_ids
        logits[places[named]] += self._bias[named]

    def _sample_leader(self, row: LogitRow, mask: TokenMask) -> int | None:
        """The next token, where the most likely ones tell it: mostly the model wants what it may.

        None where the vocabulary has to be looked at.
        """
        if self.params.greedy:
            return row.best_id if row.best_id in mask else None
        top_k = self.params.top_k
        if not 0 < top_k <= FEW:
            return None
        ids, logits = row.leaders(top_k)
        kept = np.flatnonzero(mask.has(ids))[:top_k]
        if len(kept) < top_k or logits[kept[0]] == -np.inf:
            return None
        return int(ids[kept[self._choose(LogitRow(logits[kept]))]])

    def _choose(self, row: LogitRow) -> int:
        return row.best_id if self.params.greedy else self._draw(row)

    def accept(self, *token_ids: int) -> None:
        """Remember tokens that joined the sequence, sampled or forced."""
        self._generated.update(token_ids)
        self._window.extend(token_ids)

    @property
    def _edits(self) -> bool:
        """Whether any logit is to be changed."""
        return self.params.penalises or len(self._bias_ids) > 0

    def _edit(self, row: LogitRow) -> NDArray[np.float32]:
        """A copy with penalties and bias; the model's own logits stay as they are."""
        logits = row.workspace.edited
        np.copyto(logits, row.logits)
        if self.params.penalises:
            self._penalise(logits)
        logits[self._bias_ids] += self._bias
        return logits

    def _penalise(self, logits: NDArray[np.float32]) -> None:
        params = self.params
        if params.repetition_penalty != 1.0 and self._window:
            seen = np.fromiter(set(self._window), np.int64)
            values = logits[seen]
            factor = np.float32(params.repetition_penalty)
            logits[seen] = np.where(values > 0, values / factor, values * factor)
        if self._generated and (params.presence_penalty or params.frequency_penalty):
            ids = np.fromiter(self._generated.keys(), np.int64, len(self._generated))
            counts = np.fromiter(self._generated.values(), np.float32, len(self._generated))
            logits[ids] -= params.presence_penalty + params.frequency_penalty * counts

    def _draw(self, row: LogitRow) -> int:
        params = self.params
        looks: tuple[int, ...] = (params.top_k,) if params.top_k else _LOOKS
        if looks[0] > _SORTABLE or not params.filters:
            looks = ()
        for count in looks:
            token_id = self._draw_from_leaders(row, count)
            if token_id is not None:
                return token_id
        return self._draw_from_many(row)

    def _draw_from_leaders(self, row: LogitRow, count: int) -> int | None:
        """Look at the `count` most likely tokens only; None when others pass the filters too."""
        params = self.params
        ids, logits = (found[:count] for found in row.leaders(count))
        weights = np.exp((logits.astype(np.float64) - row.top) / params.temperature)
        is_all = params.top_k > 0 or len(ids) == len(row.logits)
        keep = len(ids)
        if params.top_p < 1.0:
            total = float(weights.sum()) if is_all else row.mass(params.temperature)
            reached = np.searchsorted(np.cumsum(weights), params.top_p * total, side="left")
            keep = min(keep, int(reached) + 1)
        # Weights are relative to the most likely token, as min_p is.
        keep = min(keep, int(np.searchsorted(-weights, -params.min_p, side="right")))
        if keep == len(ids) and not is_all:
            return None
        return int(ids[_pick(weights[: max(1, keep)], self._random.random())[0]])

    def _draw_from_many(self, row: LogitRow) -> int:
        """As `_draw`, in time proportional to the vocabulary however flat the distribution is."""
        params = self.params
        weights = row.weights(params.temperature)
        grid = row.workspace.grid
        if 0 < params.top_k < len(weights):
            num_below = len(weights) - params.top_k
            least = np.partition(row.logits, num_below)[num_below]
            num_equal = params.top_k - int(np.count_nonzero(row.logits > least))
            _keep_from(row.logits, weights, least, num_equal)
        if params.top_p < 1.0:
            target = params.top_p * float(grid.sum(axis=0).sum(dtype=np.float64))
            known = row.leaders(_LOOKS[-1])
            border = _nucleus_border(row.logits, weights, target, known)
            _keep_from(row.logits, weights, *border)
        if params.min_p:
            np.multiply(weights, weights >= params.min_p, out=weights)
        column, rest = _pick(grid.sum(axis=0, dtype=np.float32), self._random.random())
        return _pick(grid[:, column], rest)[0] * grid.shape[1] + column


def _pick(weights: NDArray[np.floating[Any]], uniform: float) -> tuple[int, float]:
    """The index that `uniform` in [0, 1) falls on, and how far into its share, again in [0, 1)."""
    cumulative = np.cumsum(weights, dtype=np.float64)
    # Below the end even when the product is rounded up: what weighs nothing is never taken.
    point = min(uniform * cumulative[-1], np.nextafter(cumulative[-1], 0.0))
    index = int(np.searchsorted(cumulative, point, side="right"))
    begin = cumulative[index - 1] if index else 0.0
    return index, float((point - begin) / (cumulative[index] - begin))


def _keep_from(
    logits: NDArray[np.float32], weights: NDArray[np.float32], least: np.float32, num_equal: int
) -> None:
    """Zero the weights of logits below `least`, and of those equal to it after `num_equal`."""
    np.multiply(weights, logits >= least, out=weights)
    weights[np.flatnonzero(logits == least)[num_equal:]] = 0.0


def _nucleus_border(
    logits: NDArray[np.float32], weights: NDArray[np.float32], target: float, known: Leaders
) -> tuple[np.float32, int]:
    """The least likely logit in the nucleus that weighs `target`, and how many tokens with it.

    A quickselect by weight: two logits that bracket the border are guessed from a sample, and one
    of the three groups that they make stays in question. After a bad guess the pivot is a median,
    so that a few rounds are enough for any distribution.
    """
    # The few that weigh most are set aside: a sample would miss them or count them many times.
    heavy = known.ids[known.logits > known.logits[-1]]
    heavy_weights = weights[heavy]
    cumulative = np.cumsum(heavy_weights, dtype=np.float64)
    above = float(cumulative[-1]) if len(heavy) else 0.0
    if above >= target:
        return _border(known.logits, cumulative, target)
    weights[heavy] = 0.0
    try:
        return _search_border(logits, weights, target, above)
    finally:
        weights[heavy] = heavy_weights


def _search_border(
    logits: NDArray[np.float32], weights: NDArray[np.float32], target: float, above: float
) -> tuple[np.float32, int]:
    guessed_well = True
    while len(logits) > _SORTABLE:
        if guessed_well:
            high, low = _bracket(logits, weights, target - above)
        else:
            high = low = _middle(logits[:: len(logits) // _SAMPLE])
        for group in _groups(logits, high, low):
            inside = float(np.multiply(weights, group).sum())
            if above + inside >= target:
                break
            above += inside
        else:  # rounding: the groups together fell short of what was summed up before
            return np.float32(-np.inf), len(logits)
        chosen = np.flatnonzero(group)  # far faster than indexing with a mask
        guessed_well = 2 * len(chosen) < len(logits)
        logits, weights = logits[chosen], weights[chosen]
        if high == low == logits[0]:
            return high, math.ceil((target - above) / float(weights.max()))
    order = np.argsort(-logits, kind="stable")
    return _border(logits[order], above + np.cumsum(weights[order], dtype=np.float64), target)


def _border(
    logits: NDArray[np.float32], cumulative: NDArray[np.float64], target: float
) -> tuple[np.float32, int]:
    """Where the ordered `logits` with these cumulative weights reach `target`."""
    last = min(int(np.searchsorted(cumulative, target, side="left")), len(cumulative) - 1)
    least = logits[last]
    return least, last + 1 - int(np.count_nonzero(logits > least))


def _bracket(
    logits: NDArray[np.float32], weights: NDArray[np.float32], target: float
) -> tuple[np.float32, np.float32]:
    """Two of the logits, higher and lower, that the border is probably between."""
    stride = len(logits) // _SAMPLE
    sample = logits[::stride]
    order = np.argsort(-sample)
    sample, weights = sample[order], weights[::stride][order].astype(np.float64)
    reached = np.cumsum(weights) * stride
    errors = np.sqrt(np.cumsum(weights**2)) * stride
    last = len(sample) - 1
    slack = 3 * float(errors[min(last, int(np.searchsorted(reached, target)))])
    high, low = np.searchsorted(reached, [target - slack, target + slack]).tolist()
    return sample[min(last, high)], sample[min(last, low)]


def _middle(sample: NDArray[np.float32]) -> np.float32:
    half = len(sample) // 2
    return np.float32(np.partition(sample, half)[half])


def _groups(
    logits: NDArray[np.float32], high: np.float32, low: np.float32
) -> Iterator[NDArray[np.bool_]]:
    """Masks of three groups, from the most to the least likely; none holds both pivots."""
    above = logits > high
    yield above
    between = logits == high if high == low else (logits > low) & ~above
    yield between
    yield ~(above | between)
