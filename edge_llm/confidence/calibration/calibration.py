"""A fitted calibration: features at a checkpoint in, calibrated trust out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.calibration.checkpoint import CheckpointCalibration
from edge_llm.confidence.checkpoints import Checkpoint
from edge_llm.confidence.guarantees.certificate import Certificate
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.confidence.policy import Policy, Target
from edge_llm.errors import CalibrationDataError


class Judgement(NamedTuple):
    """What the features of one draft say at one checkpoint."""

    confidence: float
    """P(the local answer is right)."""
    gain: float
    """P(the local answer is wrong and the cloud's is right)."""

    def score(self, target: Target) -> float:
        """The trust that a policy compares: 1 - P(target)."""
        return self.confidence if target == "wrong" else 1.0 - self.gain


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Combinations and mappings for each checkpoint, and what was certified with them."""

    binding: Binding
    feature_names: tuple[str, ...]
    checkpoints: Mapping[Checkpoint, CheckpointCalibration]
    """In the order in which drafts pass them; only those that enough drafts reached."""
    num_labels: int
    """Rows that it was fitted on."""
    certificate: Certificate | None = None
    parts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What other parts keep along with it, as the prior of prompts: JSON values."""

    @property
    def policy(self) -> Policy | None:
        """What to decide by; None: nothing was certified."""
        return None if self.certificate is None else self.certificate.policy

    def with_certificate(self, certificate: Certificate | None) -> Calibration:
        """The same with what was certified."""
        return replace(self, certificate=certificate)

    def with_part(self, name: str, value: Any) -> Calibration:
        """The same with one more part, or in place of the one of that name."""
        return replace(self, parts=MappingProxyType({**self.parts, name: value}))

    def judge(self, checkpoint: Checkpoint, features: ArrayLike) -> Judgement | None:
        """The judgement on a draft, `features` (k,), NaN: not known; None: no such checkpoint.

        Costs some vector operations over the features, 20 microseconds of a desktop processor.

        Raises:
            CalibrationDataError: not `len(feature_names)` features.
        """
        fitted = self.checkpoints.get(checkpoint)
        if fitted is None:
            return None
        values = np.asarray(features, np.float64)
        if values.shape != (len(self.feature_names),):
            raise CalibrationDataError(
                f"features of shape {values.shape} for {len(self.feature_names)} that were fitted"
            )
        wrong, gain = fitted.judge(values)
        return Judgement(1.0 - wrong, gain)

    def confidence(self, checkpoint: Checkpoint, features: ArrayLike) -> float | None:
        """P(the local answer is right); None: nothing was fitted for that checkpoint."""
        judgement = self.judge(checkpoint, features)
        return None if judgement is None else judgement.confidence

    def gain(self, checkpoint: Checkpoint, features: ArrayLike) -> float | None:
        """P(the cloud is right where the local answer is wrong); None as `confidence`."""
        judgement = self.judge(checkpoint, features)
        return None if judgement is None else judgement.gain

    def scores(self, outcomes: Outcomes, target: Target) -> dict[Checkpoint, Floats]:
        """(n,) trust for each fitted checkpoint; NaN where a draft did not reach it.

        Raises:
            CalibrationDataError: the outcomes have other features.
        """
        if outcomes.feature_names != self.feature_names:
            raise CalibrationDataError(
                f"the outcomes have the features {outcomes.feature_names}, and the calibration "
                f"{self.feature_names}"
            )
        told = {}
        for name, fitted in self.checkpoints.items():
            if name in outcomes.features:
                trust = 1.0 - fitted.probabilities(target, outcomes.features[name])
                told[name] = np.where(outcomes.reached(name), trust, np.nan)
        return told

    def grid(self, target: Target, checkpoint: Checkpoint) -> Floats:
        """(m,) ascending thresholds worth trying, known from the fitted rows alone."""
        return np.unique(self.checkpoints[checkpoint].target(target).quantiles)
