"""Looks at a draft while it is written, and says when it is to be given up."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_llm.confidence.base import DraftState, Score
from edge_llm.confidence.checkpoints import END, FIRST, PROMPT, SECOND_LOOK, Checkpoint, passed
from edge_llm.confidence.features import FEATURE_NAMES, FeatureTracker
from edge_llm.confidence.signals.unsure_token import UNSURE_TOKEN
from edge_llm.confidence.verbalised import read_verbalised
from edge_llm.routing.base import Refusal
from edge_llm.routing.deferral import DraftFacts, is_checkpoint, judge, low_confidence
from edge_llm.routing.loops import is_looping
from edge_llm.runtime.assess import Assessor
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.transcript import Piece, Transcript
from edge_llm.types import Validator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Standards:
    """What a draft must live up to."""

    rules: tuple[str, ...] = ()
    """Names of `routing.deferral.RULES`, in order."""
    validator: Validator | None = None
    wants_json: bool = False
    tool_names: frozenset[str] | None = None
    """Tools that may be called; None: any."""
    max_tokens: int | None = None
    """As the caller set it."""


class DraftWatch:
    """Follows one attempt."""

    def __init__(
        self,
        standards: Standards,
        assessor: Assessor | None,
        time_left: Callable[[], float | None] = lambda: None,
        prompt: str = "",
    ) -> None:
        """`prompt` is what the user said, for what was learned of texts."""
        self._standards = standards
        self._assessor = assessor
        self._time_left = time_left
        self._prompt = prompt
        self._query_prior: float | None = None
        self._is_kept = False
        self.tracker = FeatureTracker()
        """What the statistics of the answer's tokens amount to."""
        self._num_tokens = 0
        self.score: Score | None = None
        """What was measured last."""
        self.first_score: float | None = None
        """The calibrated score at the first token, which every draft reaches."""

    @property
    def note(self) -> str | None:
        """Why no calibration judges the draft; None where one does, or nothing does."""
        return None if self._assessor is None else self._assessor.note

    def look(self, attempt: TierAttempt, piece: Piece) -> Refusal | None:
        """Why the draft is to be given up; None keeps it, and is all there is between checkpoints.

        The piece must be in the attempt's transcript already.
        """
        before, self._num_tokens = self._num_tokens, self._num_tokens + piece.num_answer_tokens
        self.tracker.add(piece.statistics, piece.text)
        if piece.finish_reason is None and not is_checkpoint(before, self._num_tokens):
            return None
        checkpoint = END if attempt.is_over else passed(before, self._num_tokens)
        return self._judge(attempt, checkpoint, self.state(attempt))

    def look_before(self, attempt: TierAttempt) -> Refusal | None:
        """Why the draft is not even to be begun: only a certified threshold can tell."""
        assessor = self._assessor
        if assessor is None or not assessor.judges_prompts:
            return None
        score = assessor.assess(PROMPT, self.tracker, self.state(attempt))
        if score is None or not score.is_low:
            return None
        self.score = score
        return low_confidence(self._facts(attempt, self.state(attempt)))

    def look_again(self, attempt: TierAttempt, seen: DraftState) -> Refusal | None:
        """The same with what a second look at the whole draft found."""
        return self._judge(attempt, SECOND_LOOK, seen)

    def _judge(
        self, attempt: TierAttempt, checkpoint: Checkpoint | None, state: DraftState
    ) -> Refusal | None:
        if self._assessor is not None and not self._is_kept:
            score = self._assessor.assess(checkpoint, self.tracker, state)
            self.score = score or self.score
            if checkpoint == FIRST and score is not None and score.is_calibrated:
                self.first_score = score.value
            self._is_kept = score is not None and self._assessor.is_kept(score)
        return judge(self._facts(attempt, state), self._standards.rules)

    def features(self, attempt: TierAttempt) -> NDArray[np.float64]:
        """The draft as a calibration sees it now: (len(FEATURE_NAMES),) float64, NaN: not known."""
        return self.tracker.features(self.state(attempt))

    def known_features(self, attempt: TierAttempt) -> dict[str, float]:
        """Those of `features` that are known, by name."""
        state = self.state(attempt)
        values = {name: self.tracker.value(name, state) for name in FEATURE_NAMES}
        return {n: v for n, v in values.items() if v is not None and math.isfinite(v)}

    def state(self, attempt: TierAttempt) -> DraftState:
        """What is known of the draft beside its statistics."""
        transcript, is_over = attempt.transcript, attempt.is_over
        return DraftState(
            num_tokens=self._num_tokens,
            prompt_tokens=attempt.prompt_tokens,
            finish_reason=transcript.finish_reason,
            is_empty=not (transcript.text.strip() or transcript.calls) if is_over else None,
            is_valid=is_valid(transcript, self._standards) if is_over else None,
            is_looping=is_looping(transcript.text),
            num_calls=len(transcript.calls) if is_over else None,
            query_prior=self._read_query(),
            answer_prior=self._read_answer(transcript.text) if is_over else None,
            verbalised=read_verbalised(transcript.text) if is_over else None,
        )

    def _read_query(self) -> float | None:
        prior = None if self._assessor is None else self._assessor.priors.get("query")
        if prior is not None and self._query_prior is None:
            self._query_prior = prior.predict(self._prompt)
        return self._query_prior

    def _read_answer(self, answer: str) -> float | None:
        prior = None if self._assessor is None else self._assessor.priors.get("answer")
        return None if prior is None else prior.predict(self._prompt, answer)

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
            checkpoint=None if score is None else score.checkpoint,
            said_unsure=score is not None and score.signal == UNSURE_TOKEN.name,
            is_valid=state.is_valid is not False,
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


def is_valid(transcript: Transcript, standards: Standards) -> bool:
    """Whether a whole answer is what was asked for: JSON, known tools, the caller's own check."""
    if standards.wants_json and not transcript.calls and not is_json(transcript.text):
        return False
    known = standards.tool_names
    if known is not None and not known.issuperset(call.name for call in transcript.calls):
        return False
    return standards.validator is None or _accepts(standards.validator, transcript.text)


def is_json(text: str) -> bool:
    """Whether the text is one JSON value and nothing else."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _accepts(validator: Validator, text: str) -> bool:
    try:
        return bool(validator(text))
    except ValueError:
        return False
