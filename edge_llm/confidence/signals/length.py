"""How long an answer is, and how it ended."""

from __future__ import annotations

import math

from edge_llm.confidence.base import ConfidenceSignal, DraftSignal, DraftState


def _log_tokens(draft: DraftState) -> float:
    return math.log1p(draft.num_tokens)


def _is_truncated(draft: DraftState) -> float | None:
    return None if draft.finish_reason is None else float(draft.finish_reason == "length")


NUM_TOKENS = ConfidenceSignal(
    "num_tokens", lambda: DraftSignal(_log_tokens), lambda value: math.exp(-max(0.0, value) / 8.0)
)
"""log(1 + T), T tokens of the answer so far. Long answers are wrong more often; how much depends
on the task, so that the score only ranks. Cost: one log at a checkpoint.

Source: Gupta et al., "Language Model Cascades: Token-level uncertainty and beyond",
arXiv:2404.10136, on length and quality.
"""

IS_TRUNCATED = ConfidenceSignal(
    "is_truncated", lambda: DraftSignal(_is_truncated), lambda value: 1.0 - value, 0.5
)
"""1 where the answer stopped at `max_tokens`, 0 where it ended by itself, unknown before.

Cost: none, the engine says it. Source: `finish_reason` of the OpenAI API, chat completions.
"""
