"""Looks at a draft while it is written, and says when it is to be given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_llm.confidence.base import ConfidenceSignal, Score
from edge_llm.confidence.low_logprob import LowLogprob
from edge_llm.confidence.unsure_token import UnsureToken
from edge_llm.engine.host import ModelFacts
from edge_llm.routing.base import Refusal
from edge_llm.routing.deferral import DraftFacts, is_checkpoint, judge
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.structured.verify import ANYTHING, Expected
from edge_llm.runtime.transcript import Piece
from edge_llm.types import TokenStatistics, Validator


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
    return LowLogprob() if facts.unsure_token_id is None else UnsureToken()


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
        self._tokens: list[TokenStatistics] = []
        self._num_tokens = 0
        self.score: Score | None = None
        """What the signal said last."""

    def look(self, attempt: TierAttempt, piece: Piece) -> Refusal | None:
        """Why the draft is to be given up; None keeps it, and is all there is between checkpoints.

        The piece must be in the attempt's transcript already.
        """
        before, self._num_tokens = self._num_tokens, self._num_tokens + piece.num_answer_tokens
        self._tokens += piece.statistics
        if piece.finish_reason is None and not is_checkpoint(before, self._num_tokens):
            return None
        self._measure()
        return judge(self._facts(attempt), self._standards.rules)

    def _measure(self) -> None:
        signal = self._signal
        if signal is None or (signal.num_tokens == 1 and self.score is not None):
            return
        value = signal.score(self._tokens)
        if value is not None:
            threshold = self._standards.threshold
            line = signal.default_threshold if threshold is None else threshold
            self.score = Score(value, signal.name, line)

    def _facts(self, attempt: TierAttempt) -> DraftFacts:
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
            said_unsure=isinstance(self._signal, UnsureToken),
            is_valid=not attempt.is_over or is_accepted(transcript.text, self._standards.validator),
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
