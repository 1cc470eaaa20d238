"""Looks at a draft while it is written, and says when it is to be given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_llm.confidence.base import ConfidenceSignal, DraftState, Score
from edge_llm.confidence.features import FeatureTracker
from edge_llm.confidence.signals.low_logprob import LOW_LOGPROB
from edge_llm.confidence.signals.unsure_token import UNSURE_TOKEN
from edge_llm.engine.host import ModelFacts
from edge_llm.routing.base import Refusal
from edge_llm.routing.deferral import DraftFacts, is_checkpoint, judge
from edge_llm.routing.loops import is_looping
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.structured.verify import ANYTHING, Expected
from edge_llm.runtime.transcript import Piece
from edge_llm.types import Validator


@dataclass(frozen=True, slots=True)
class Standards:
    """What a draft must live up to."""

    rules: tuple[str, ...] = ()
    """Names of `routing.deferral.RULES`, in order."""
    threshold: float | None = None
    """Of the signal; None takes its own."""
    validator: Validator | None = None
    expected: Expected = ANYTHING
    """Its form, and the tools that may be called."""
    max_tokens: int | None = None
    """As the caller set it."""


def signal_for(facts: ModelFacts) -> ConfidenceSignal:
    """The signal for a model: its own word where it was trained to give one."""
    return LOW_LOGPROB if facts.unsure_token_id is None else UNSURE_TOKEN


class DraftWatch:
    """Follows one attempt."""

    def __init__(
        self,
        standards: Standards,
        signal: ConfidenceSignal | None,
        time_left: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._standards = standards
        self._signal = signal
        self._time_left = time_left
        self.tracker = FeatureTracker()
        """What the statistics of the answer's tokens amount to."""
        self._num_tokens = 0
        self.score: Score | None = None
        """What the signal said last."""

    def look(self, attempt: TierAttempt, piece: Piece) -> Refusal | None:
        """Why the draft is to be given up; None keeps it, and is all there is between checkpoints.

        The piece must be in the attempt's transcript already.
        """
        before, self._num_tokens = self._num_tokens, self._num_tokens + piece.num_answer_tokens
        self.tracker.add(piece.statistics, piece.text)
        if piece.finish_reason is None and not is_checkpoint(before, self._num_tokens):
            return None
        state = self._state(attempt)
        self._measure(state)
        return judge(self._facts(attempt, state), self._standards.rules)

    def features(self, attempt: TierAttempt) -> NDArray[np.float64]:
        """The draft as it is now, (len(FEATURE_NAMES),) float64; NaN where nobody can tell."""
        return self.tracker.features(self._state(attempt))

    def _measure(self, state: DraftState) -> None:
        signal = self._signal
        if signal is None:
            return
        value = self.tracker.score(signal.name, state)
        if value is not None:
            threshold = self._standards.threshold
            line = signal.default_threshold if threshold is None else threshold
            self.score = Score(value, signal.name, line or 0.0)

    def _state(self, attempt: TierAttempt) -> DraftState:
        """What is known of the draft beside its statistics."""
        transcript, is_over = attempt.transcript, attempt.is_over
        return DraftState(
            num_tokens=self._num_tokens,
            prompt_tokens=attempt.usage.prompt_tokens,
            finish_reason=transcript.finish_reason,
            is_empty=not (transcript.text.strip() or transcript.calls) if is_over else None,
            is_valid=self._is_valid(attempt) if is_over else None,
            is_looping=is_looping(transcript.text),
            num_calls=len(transcript.calls) if is_over else None,
        )

    def _is_valid(self, attempt: TierAttempt) -> bool:
        is_accepted_by_caller = is_accepted(attempt.transcript.text, self._standards.validator)
        return attempt.violation is None and is_accepted_by_caller

    def _facts(self, attempt: TierAttempt, state: DraftState) -> DraftFacts:
        transcript = attempt.transcript
        score = self.score
        return DraftFacts(
            text=transcript.text,
            num_tokens=self._num_tokens,
            has_calls=bool(transcript.calls),
            finish_reason=transcript.finish_reason,
            score=None if score is None else score.value,
            threshold=None if score is None else score.threshold,
            signal=None if score is None else score.signal,
            said_unsure=self._signal is UNSURE_TOKEN,
            is_valid=state.is_valid is not False,
            violation=None if attempt.violation is None else attempt.violation.shown,
            expected_s=self._expected_s(attempt),
            time_left_s=self._time_left(),
        )

    def _expected_s(self, attempt: TierAttempt) -> float | None:
        """How much longer the answer may take; unknown where nobody bounded it."""
        limit, first_s = self._standards.max_tokens, attempt.first_token_s
        if limit is None or first_s is None or attempt.completion_tokens < 2 or attempt.is_over:
            return None
        each_s = (time.perf_counter() - first_s) / (attempt.completion_tokens - 1)
        return each_s * max(0, limit - attempt.completion_tokens)


def is_accepted(text: str, validator: Validator | None) -> bool:
    """What the caller's own check says of a whole answer."""
    try:
        return validator is None or bool(validator(text))
    except ValueError:
        return False


def needs_statistics(rules: Sequence[str], facts: ModelFacts) -> bool:
    """Whether anybody will look at the tokens' statistics."""
    return "confidence" in rules or facts.unsure_token_id is not None
