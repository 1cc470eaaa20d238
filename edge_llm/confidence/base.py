"""The contract of a confidence signal, and which one fits a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from edge_llm.types import TokenStatistics


class ConfidenceSignal(Protocol):
    """One measure of a draft as far as it goes, in [0, 1]; 1 is trust. Not a probability yet."""

    name: ClassVar[str]
    default_threshold: ClassVar[float]
    """Where drafts are given up while nothing is calibrated; a guess, and said to be one."""
    num_tokens: ClassVar[int | None]
    """After how many tokens of the answer it says all it will ever say; None: it follows all."""

    def score(self, tokens: Sequence[TokenStatistics]) -> float | None:
        """The score of the answer's tokens so far; None while it cannot tell."""
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """What a signal said, and where the line was."""

    value: float
    signal: str
    threshold: float

    @property
    def is_low(self) -> bool:
        """Whether the draft is to be given up."""
        return self.value < self.threshold
