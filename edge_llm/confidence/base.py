"""The contract of a confidence signal: one measure of a draft, kept up to date token by token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_llm.types import FinishReason, TokenStatistics


@dataclass(frozen=True, slots=True)
class DraftState:
    """What is known of a draft beside its tokens' statistics; None where nobody can tell (yet)."""

    num_tokens: int = 0
    """Of the answer so far, forced ones too, thoughts not counted."""
    prompt_tokens: int | None = None
    finish_reason: FinishReason | None = None
    """None: it goes on."""
    is_empty: bool | None = None
    """Whether the whole answer says nothing and calls nothing."""
    is_valid: bool | None = None
    """What the checks of the whole answer said: form, tools, the caller's own."""
    is_looping: bool | None = None
    """Whether the text goes round in circles."""
    num_calls: int | None = None
    query_prior: float | None = None
    """How little asking the cloud would help, in [0, 1], from the prompt's text alone."""
    answer_prior: float | None = None
    """The same from the texts of prompt and whole answer."""
    verbalised: float | None = None
    """What the model says of its own certainty, in [0, 1]."""
    p_true: float | None = None
    """P(true) against P(false), asked whether its own answer is right."""
    sample_agreement: float | None = None
    """Share of further samples that say the same."""
    model_agreement: float | None = None
    """Whether a second local model says the same: 1 or 0, or a share."""


class SignalState(Protocol):
    """One signal of one draft so far; mutable."""

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        """The next token that the model chose; forced ones have no statistics and never come.

        `starts_answer`: it is the first with content of the answer, as far as can be told now;
        said again of a later token when what came before turns out to be an opening phrase.
        """
        ...

    def value(self, draft: DraftState) -> float | None:
        """The measure in its own unit; None while it cannot tell."""
        ...


@dataclass(frozen=True, slots=True)
class ConfidenceSignal:
    """One measure, and what it is worth while nothing is calibrated."""

    name: str
    start: Callable[[], SignalState]
    """The state for a draft that begins now."""
    to_score: Callable[[float], float]
    """A monotone map from the measure to [0, 1]; 1 is trust. A prior: no probability."""
    default_threshold: float | None = None
    """Where drafts are given up while nothing is calibrated, a guess; None: not alone a gate."""


@dataclass(frozen=True, slots=True)
class DraftSignal:
    """The state of a signal that only reads what is known of the draft."""

    read: Callable[[DraftState], float | None]

    def add(self, token: TokenStatistics, starts_answer: bool) -> None:
        """Tokens change nothing."""

    def value(self, draft: DraftState) -> float | None:
        """What `read` finds."""
        return self.read(draft)


@dataclass(frozen=True, slots=True)
class Score:
    """What was measured at a checkpoint, and where the line was."""

    value: float
    signal: str
    threshold: float
    confidence: float | None = None
    """Calibrated probability that the local answer is right; None without a calibration."""
    checkpoint: str | None = None
    """Where it was measured."""
    last_threshold: float | None = None
    """Where the line will be at the end; None: where it is now."""

    @property
    def doubt_line(self) -> float:
        """What a score is compared with to say how doubtful the draft is."""
        return self.threshold if self.last_threshold is None else self.last_threshold

    @property
    def is_low(self) -> bool:
        """Whether the draft is to be given up."""
        return self.value < self.threshold

    @property
    def is_calibrated(self) -> bool:
        """Whether `value` and `threshold` come from a calibration for this very model."""
        return self.confidence is not None


def from_bool(value: bool | None) -> float | None:
    """1 or 0; None stays."""
    return None if value is None else float(value)
