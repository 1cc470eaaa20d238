"""How likely the least likely words of an answer were: a signal that any model gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from edge_llm.types import TokenStatistics

QUANTILE = 0.1


@dataclass(frozen=True, slots=True)
class LowLogprob:
    """exp of the 10 % quantile of the tokens' log-probabilities.

    An average is diluted by words that any model finds likely; a low quantile is not. Nearest rank,
    so that one token gives its own probability.
    Source: Gupta et al., "Language Model Cascades: Token-Level Uncertainty and Beyond", ICLR 2024.
    """

    name: ClassVar[str] = "low_logprob"
    default_threshold: ClassVar[float] = 0.1
    num_tokens: ClassVar[int | None] = None

    def score(self, tokens: Sequence[TokenStatistics]) -> float | None:
        """The score of the tokens so far."""
        if not tokens:
            return None
        logprobs = sorted(one.logprob for one in tokens)
        return math.exp(min(0.0, logprobs[int(QUANTILE * len(logprobs))]))
