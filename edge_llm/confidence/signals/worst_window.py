"""The least confident stretch of an answer."""

from __future__ import annotations

import math
from collections import deque

from edge_llm.confidence.base import ConfidenceSignal, DraftState
from edge_llm.types import TokenStatistics

WINDOW = 32
"""Tokens; the paper takes 2048 for chains of thought, which short answers never reach."""


class _State:
    def __init__(self) -> None:
        self._window: deque[float] = deque()
        self._sum = 0.0
        self._worst = math.inf

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        logprobs = token.top_logprobs
        if not logprobs:
            return
        confidence = -sum(logprobs) / len(logprobs)
        self._window.append(confidence)
        self._sum += confidence
        if len(self._window) > WINDOW:
            self._sum -= self._window.popleft()
        if len(self._window) == WINDOW:
            self._worst = min(self._worst, self._sum / WINDOW)

    def value(self, draft: DraftState) -> float | None:
        if self._worst < math.inf:
            return self._worst
        return self._sum / len(self._window) if self._window else None


def _to_score(value: float) -> float:
    # At least log(20) = 3.0 for 20 tokens, where all are equally likely; sharper is larger.
    return max(0.0, 1.0 - _FLAT / value) if value > 0.0 else 0.0


_FLAT = math.log(20)

WORST_WINDOW = ConfidenceSignal("worst_window", _State, _to_score)
"""min over windows of 32 tokens of mean C_t, C_t = -(1/k) sum of log p_t over the k likeliest.

Larger is surer: what the likeliest tokens leave to the others is what makes them unlikely. Of a
shorter answer, the mean over all of it. Needs `top_logprobs`. Cost: a sum of k numbers for a token.
Source: Fu et al., "Deep Think with Confidence", arXiv:2508.15260, lowest group confidence.
"""
