"""Choosing the next token from one row of logits, the same way for every backend.

Knows no model. Never sorts a vocabulary: only the few tokens near the top are ever put in order.
"""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_llm.errors import BackendError
from edge_llm.types import RANDOM_SEED_BITS, SamplingParams

_FIRST_CUT = 12.0
"""Nats below the top to look first; a token there has at most 6e-6 of the top one's probability."""


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

    def sample(self, logits: NDArray[np.float32]) -> int:
        """The next token id, from logits (vocab_size,) that are changed in place.

        Raises:
            BackendError: the logits are not numbers.
        """
        self._adjust(logits)
        top = logits.max()
        if not np.isfinite(top):
            raise BackendError("the model computed logits that are not numbers")
        if self.params.greedy:
            return int(logits.argmax())
        return self._draw(logits, float(top))

    def accept(self, token_id: int) -> None:
        """Remember a token that joined the sequence, sampled or forced."""
        self._generated[token_id] += 1
        self._window.append(token_id)

    def _adjust(self, logits: NDArray[np.float32]) -> None:
        params = self.params
        if params.penalises:
            self._penalise(logits)
        if len(self._bias_ids):
            logits[self._bias_ids] += self._bias

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

    def _draw(self, logits: NDArray[np.float32], top: float) -> int:
        params = self.params
        if params.top_k == 0 and params.top_p == 1.0:
            return self._draw_from_all(logits, top)
        if params.top_k:
            ids = _top_k(logits, top, params.top_k, params.temperature)
            weights = _weights(logits[ids], top, params.temperature)
            total = float(weights.sum())
        else:
            ids, weights, total = _nucleus_candidates(logits, top, params.temperature, params.top_p)
        keep = _nucleus_size(weights, total, params.top_p)
        # Weights are relative to the most likely token, as min_p is.
        keep = min(keep, int(np.searchsorted(-weights, -params.min_p, side="right")))
        return int(ids[self._pick(weights[: max(1, keep)])])

    def _draw_from_all(self, logits: NDArray[np.float32], top: float) -> int:
        weights = _weights(logits, top, self.params.temperature)
        weights[weights < self.params.min_p] = 0.0
        return self._pick(weights)

    def _pick(self, weights: NDArray[np.float64]) -> int:
        cumulative = np.cumsum(weights)
        point = self._random.random() * cumulative[-1]
        return min(int(np.searchsorted(cumulative, point, side="right")), len(weights) - 1)


def _weights(logits: NDArray[np.float32], top: float, temperature: float) -> NDArray[np.float64]:
    """Probabilities relative to the most likely token, in [0, 1]."""
    return np.exp((logits.astype(np.float64) - top) / temperature)


def _in_order(logits: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """`ids` from the most to the least likely; equal logits by the smaller id."""
    return ids[np.argsort(-logits[ids], kind="stable")]


def _top_k(
    logits: NDArray[np.float32], top: float, k: int, temperature: float
) -> NDArray[np.int64]:
    """The k most likely token ids, in order: (min(k, vocab_size),)."""
    near = np.flatnonzero(logits >= top - _FIRST_CUT * max(temperature, 1.0))
    if len(near) < k:
        near = np.arange(len(logits))
    if len(near) > k:
        kth = np.partition(logits[near], len(near) - k)[len(near) - k]
        near = near[logits[near] >= kth]
    return _in_order(logits, near)[:k]


def _nucleus_candidates(
    logits: NDArray[np.float32], top: float, temperature: float, top_p: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Tokens in order that hold at least `top_p`, their weights, and the weight of all tokens."""
    total = float(_weights(logits, top, temperature).sum())
    near = np.flatnonzero(logits >= top - _FIRST_CUT * temperature)
    ids = _in_order(logits, near)
    weights = _weights(logits[ids], top, temperature)
    if weights.sum() < top_p * total:
        ids = _in_order(logits, np.arange(len(logits)))
        weights = _weights(logits[ids], top, temperature)
    return ids, weights, total


def _nucleus_size(weights: NDArray[np.float64], total: float, top_p: float) -> int:
    """How many of the ordered weights it takes to hold `top_p` of the total; at least 1."""
    if top_p == 1.0:
        return len(weights)
    return int(np.searchsorted(np.cumsum(weights), top_p * total, side="left")) + 1
