"""What the request itself tells before anything is generated."""

from __future__ import annotations

import math

from edge_llm.confidence.base import ConfidenceSignal, DraftSignal, DraftState


def _log_prompt(draft: DraftState) -> float | None:
    return None if draft.prompt_tokens is None else math.log1p(draft.prompt_tokens)


def _same(value: float) -> float:
    return min(1.0, max(0.0, value))


PROMPT_TOKENS = ConfidenceSignal(
    "prompt_tokens", lambda: DraftSignal(_log_prompt), lambda value: math.exp(-max(0.0, value) / 8)
)
"""log(1 + tokens of the prompt), template included. Long questions are hard more often."""

QUERY_PRIOR = ConfidenceSignal(
    "query_prior", lambda: DraftSignal(lambda draft: draft.query_prior), _same, 0.5
)
ANSWER_PRIOR = ConfidenceSignal(
    "answer_prior", lambda: DraftSignal(lambda draft: draft.answer_prior), _same, 0.5
)
"""What `confidence.prior` learned from the texts of earlier requests, and of answers to them.

In [0, 1]: how little asking the cloud would help, 0.5 as much lost by it as won. Unknown until a
calibration brings one.
"""
