"""The model's own word: it was trained to begin with a certain token where it does not know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from edge_llm.types import TokenStatistics


@dataclass(frozen=True, slots=True)
class UnsureToken:
    """1 - P(unsure token) at the first token of the answer, known before anything is said.

    Needs that token as the first of the request's `watched_ids`. Costs one exp.
    """

    name: ClassVar[str] = "unsure_token"
    default_threshold: ClassVar[float] = 0.5
    num_tokens: ClassVar[int | None] = 1

    def score(self, tokens: Sequence[TokenStatistics]) -> float | None:
        """The score at the first token; later ones change nothing."""
        if not tokens or not tokens[0].watched_logprobs:
            return None
        return 1.0 - math.exp(min(0.0, tokens[0].watched_logprobs[0]))
