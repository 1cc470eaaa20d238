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
"""log(1 + n), n tokens of the prompt with its template. Long questions are hard more often.

Cost: one log for a request. Source: Ong et al., "RouteLLM", arXiv:2406.18665, for what the query
alone tells.
"""

QUERY_PRIOR = ConfidenceSignal(
    "query_prior", lambda: DraftSignal(lambda draft: draft.query_prior), _same, 0.5
)
ANSWER_PRIOR = ConfidenceSignal(
    "answer_prior", lambda: DraftSignal(lambda draft: draft.answer_prior), _same, 0.5
)
"""1 - sigmoid(u shapes + v n-grams + b): what `confidence.prior` learned of requests, or answers.

In [0, 1]: how little asking the cloud would help, 0.5 as much lost by it as won. Unknown until a
calibration brings one. Cost: hashing the text once and one sparse product with what was learned.
Source: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009; Ong et
al., "RouteLLM", arXiv:2406.18665, for learning the gain from the query.
"""
