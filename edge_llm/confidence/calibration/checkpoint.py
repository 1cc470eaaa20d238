"""The calibration of one checkpoint: features in, two probabilities out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.calibration.columns import LIMIT, Columns
from edge_llm.confidence.calibration.logistic import Linear
from edge_llm.confidence.calibration.mapping import ProbabilityMapping


@dataclass(frozen=True, slots=True, eq=False)
class TargetModel:
    """P(target) from columns, and where the rows that it was fitted on lay."""

    combination: Linear
    mapping: ProbabilityMapping
    quantiles: Floats
    """Ascending trust, 1 - P(target), of the fitted rows by models that did not see them."""

    def probabilities(self, columns: Floats) -> Floats:
        """(n,) for `columns` (n, m)."""
        return self.mapping.probabilities(self.combination.log_odds(columns))


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointCalibration:
    """Both targets on the same columns."""

    columns: Columns
    wrong: TargetModel
    gain: TargetModel | None
    """None: the cloud's answers were not known; `wrong` stands for it, which it never exceeds."""
    num_labels: int
    _weights: Floats = field(init=False, repr=False)
    """(2, k) of the features, for wrong and gain."""
    _missing: Floats = field(init=False, repr=False)
    """(2, k), what is added where a feature is not known."""
    _biases: tuple[float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        first, second = self.wrong.combination, self.target("gain").combination
        num_features = len(self.columns.center)
        weights = np.stack([first.weights, second.weights])
        missing = np.zeros((2, num_features))
        missing[:, list(self.columns.gaps)] = weights[:, num_features:]
        object.__setattr__(self, "_weights", weights[:, :num_features].copy())
        object.__setattr__(self, "_missing", missing)
        object.__setattr__(self, "_biases", (first.bias, second.bias))

    def target(self, name: str) -> TargetModel:
        """The model of one target."""
        return self.wrong if name == "wrong" or self.gain is None else self.gain

    def judge(self, features: Floats) -> tuple[float, float]:
        """P(wrong) and P(gain) of one draft, `features` (k,)."""
        is_known = np.isfinite(features)
        columns = (np.where(is_known, features, self.columns.center) - self.columns.center) * (
            self.columns.scale
        )
        # Not np.clip: it takes three times as long on so few numbers.
        columns = np.minimum(np.maximum(columns, -LIMIT), LIMIT)
        wrong, gain = (self._weights @ columns + self._missing @ ~is_known).tolist()
        return (
            self.wrong.mapping.probability(wrong + self._biases[0]),
            self.target("gain").mapping.probability(gain + self._biases[1]),
        )

    def probabilities(self, name: str, features: Floats) -> Floats:
        """(n,) P(target) for `features` (n, k)."""
        return self.target(name).probabilities(self.columns.transform(features))
