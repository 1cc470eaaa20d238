"""A fitted calibration: features at a checkpoint in, calibrated trust out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.checkpoints import Checkpoint
from edge_llm.confidence.guarantees.certificate import Certificate
from edge_llm.confidence.outcomes import Outcomes
from edge_llm.confidence.policy import Policy, Target


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
    checkpoints: Mapping[Checkpoint, Any]
    num_labels: int
    certificate: Certificate | None = None
    parts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """What other parts keep along with it, as the prior of prompts: JSON values."""

    @property
    def policy(self) -> Policy | None:
        """What to decide by; None: nothing was certified."""
        return None if self.certificate is None else self.certificate.policy

    def judge(self, checkpoint: Checkpoint, features: ArrayLike) -> Judgement | None:
        """The judgement on a draft, `features` (k,), NaN: not known; None: no such checkpoint."""
        raise NotImplementedError

    def confidence(self, checkpoint: Checkpoint, features: ArrayLike) -> float | None:
        """P(the local answer is right); None: nothing was fitted for that checkpoint."""
        raise NotImplementedError

    def gain(self, checkpoint: Checkpoint, features: ArrayLike) -> float | None:
        """P(the cloud is right where the local answer is wrong); None as `confidence`."""
        raise NotImplementedError

    def scores(self, outcomes: Outcomes, target: Target) -> dict[Checkpoint, Floats]:
        """(n,) trust for each fitted checkpoint; NaN where a draft did not reach it."""
        raise NotImplementedError

    def grid(self, target: Target, checkpoint: Checkpoint) -> Floats:
        """(m,) ascending thresholds worth trying, known from the fitted rows alone."""
        raise NotImplementedError
