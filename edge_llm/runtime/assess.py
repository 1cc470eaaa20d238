"""What a draft is worth at a checkpoint: by a calibration where one holds, else by one signal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edge_llm.confidence.base import ConfidenceSignal, DraftState, Score
from edge_llm.confidence.checkpoints import END, PROMPT, SECOND_LOOK, Checkpoint
from edge_llm.confidence.features import FEATURE_NAMES, FeatureTracker
from edge_llm.confidence.signals.low_logprob import LOW_LOGPROB
from edge_llm.confidence.signals.registry import SIGNALS
from edge_llm.confidence.signals.unsure_token import UNSURE_TOKEN
from edge_llm.config import ConfidenceConfig
from edge_llm.engine.host import ModelFacts
from edge_llm.errors import ConfigError, did_you_mean
from edge_llm.runtime.tiers import LocalTier

if TYPE_CHECKING:
    from edge_llm.confidence.calibration.calibration import Calibration, Judgement
    from edge_llm.confidence.policy import Policy, Target
    from edge_llm.confidence.prior import TextPrior
    from edge_llm.confidence.text.vectors import TextKind

CALIBRATED = {"wrong": "p_right", "gain": "p_no_gain"}
"""Names of calibrated scores by what they are about: 1 - P(wrong), 1 - P(the cloud gains)."""

EVEN = 0.5
"""Where a draft is given up by a calibration with which nothing was certified."""

_LATE = (END, SECOND_LOOK)


def signal_for(facts: ModelFacts, wanted: str = "auto") -> ConfidenceSignal:
    """The signal for a model: the configured one, or its own word where it was trained for it."""
    if wanted != "auto":
        return SIGNALS[wanted]
    return LOW_LOGPROB if facts.unsure_token_id is None else UNSURE_TOKEN


def check_signal(name: str) -> None:
    """Let the name of a signal that can decide alone pass, and "auto".

    Raises:
        ConfigError: another name.
    """
    able = [one.name for one in SIGNALS.values() if one.default_threshold is not None]
    if name != "auto" and name not in able:
        raise ConfigError(
            f"confidence.signal {name!r} cannot decide alone",
            hint=did_you_mean(name, ["auto", *able]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Assessor:
    """Judges the drafts of one model."""

    signal: ConfidenceSignal
    calibration: Calibration | None = None
    threshold: float | None = None
    """The configuration's own; None takes that of the calibration, or of the signal."""
    priors: Mapping[TextKind, TextPrior] = field(default_factory=lambda: MappingProxyType({}))
    """What was learned of texts."""
    note: str | None = None
    """Why no calibration holds; None where one does."""
    floor: float = 0.0
    """What the certified threshold of whole answers was raised to since; 0: it was not."""

    @property
    def judges_prompts(self) -> bool:
        """Whether a certified threshold gives requests up before anything is generated."""
        policy = None if self.calibration is None else self.calibration.policy
        return policy is not None and PROMPT in policy.thresholds and self.threshold is None

    def is_kept(self, score: Score) -> bool:
        """Whether a certified policy keeps the draft for good at this checkpoint."""
        policy = None if self.calibration is None else self.calibration.policy
        limits = None if policy is None else policy.thresholds.get(score.checkpoint or "")
        if limits is None or self.threshold is not None:
            return False
        return score.value >= max(limits.keep_from, self.floor)

    def assess(
        self, checkpoint: Checkpoint | None, tracker: FeatureTracker, state: DraftState
    ) -> Score | None:
        """The score now; None where nothing can be told here."""
        if self.calibration is not None:
            return self._calibrated(self.calibration, checkpoint, tracker, state)
        second = _second_opinion(state) if checkpoint == SECOND_LOOK else None
        signal = second or self.signal
        value = tracker.score(signal.name, state)
        if value is None:
            return None
        own = self.threshold if second is None else None
        line = signal.default_threshold or 0.0 if own is None else own
        return Score(value, signal.name, line, checkpoint=checkpoint)

    def _calibrated(
        self,
        calibration: Calibration,
        checkpoint: Checkpoint | None,
        tracker: FeatureTracker,
        state: DraftState,
    ) -> Score | None:
        if checkpoint is None:
            return None
        features = tracker.features(state)
        if calibration.feature_names != FEATURE_NAMES:
            features = reordered(features, calibration.feature_names)
        judgement = calibration.judge(checkpoint, features)
        if judgement is None:
            return self._warning(checkpoint, tracker, state)
        return self._score(calibration, checkpoint, judgement)

    def _score(
        self, calibration: Calibration, checkpoint: Checkpoint, judgement: Judgement
    ) -> Score:
        policy = calibration.policy
        target: Target = "wrong" if policy is None else policy.target
        line = self._line(policy, checkpoint)
        last = None if checkpoint in _LATE else self._line(policy, END)
        value = judgement.score(target)
        return Score(value, CALIBRATED[target], line, judgement.confidence, checkpoint, last)

    @staticmethod
    def _warning(
        checkpoint: Checkpoint, tracker: FeatureTracker, state: DraftState
    ) -> Score | None:
        """What a second look that was not calibrated says against a draft; for it, it has no say.

        What was certified stays true: less is kept, never more.
        """
        signal = _second_opinion(state) if checkpoint == SECOND_LOOK else None
        value = None if signal is None else tracker.score(signal.name, state)
        if signal is None or value is None:
            return None
        score = Score(value, signal.name, signal.default_threshold or 0.0, checkpoint=checkpoint)
        return score if score.is_low else None

    def _line(self, policy: Policy | None, checkpoint: Checkpoint) -> float:
        """Below what a draft is given up; -inf where it goes on in any case."""
        if checkpoint in _LATE:
            if self.threshold is not None:
                return self.threshold
            return EVEN if policy is None else max(policy.threshold, self.floor)
        # Before the end only a certified threshold gives up what might still come right.
        if policy is None or self.threshold is not None or checkpoint not in policy.thresholds:
            return -math.inf
        return policy.thresholds[checkpoint].escalate_below


def reordered(features: Any, names: tuple[str, ...]) -> Any:
    """The features in the order of an older calibration; NaN for those that are gone."""
    import numpy as np

    places = {name: index for index, name in enumerate(FEATURE_NAMES)}
    return np.array([features[places[n]] if n in places else np.nan for n in names])


def _second_opinion(state: DraftState) -> ConfidenceSignal | None:
    """The signal of what a second look found, the most telling first."""
    for name in ("sample_agreement", "model_agreement", "p_true"):
        if getattr(state, name) is not None:
            return SIGNALS[name]
    return None


def create_assessor(
    tier: LocalTier, settings: ConfidenceConfig, threshold: float | None
) -> Assessor:
    """What judges the drafts of a tier; a calibration's priors are read once for each."""
    found = tier.calibration
    return Assessor(
        signal_for(tier.model.facts, settings.signal),
        found.calibration,
        threshold,
        found.priors,
        found.note,
        0.0 if tier.adapting is None else tier.adapting.threshold,
    )
