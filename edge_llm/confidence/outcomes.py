"""What happened to prompts whose right answer is known: what calibrations are fitted on.

Knows neither where outcomes come from nor what the features mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_llm.confidence.arrays import (
    Floats,
    Indices,
    Mask,
    positive_column,
    share_column,
)
from edge_llm.confidence.checkpoints import Checkpoint
from edge_llm.errors import CalibrationDataError


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Outcomes:
    """n prompts, each answered locally and, where it is known, by the cloud; one row each."""

    feature_names: tuple[str, ...]
    """Of the k columns."""
    features: Mapping[Checkpoint, Floats]
    """(n, k) for each checkpoint, in the order in which drafts pass them; NaN: not known."""
    local_correct: Floats
    """(n,) in [0, 1]: how right the local answer was; 1 is right."""
    cloud_correct: Floats | None = None
    """(n,) in [0, 1]; NaN: the cloud was not asked. None: it never was."""
    spent_tokens: Mapping[Checkpoint, Floats] = field(default_factory=lambda: MappingProxyType({}))
    """(n,) tokens generated when the draft passed the checkpoint; NaN: it never did, having ended
    before. A checkpoint without an entry was passed by all."""
    local_tokens: Floats | None = None
    """(n,) tokens of the whole local answer."""
    local_cost_usd: Floats | None = None
    cloud_cost_usd: Floats | None = None
    local_latency_s: Floats | None = None
    cloud_latency_s: Floats | None = None
    weights: Floats | None = None
    """(n,) above 0: how many requests a row stands for, as 1/propensity. None: one each."""
    groups: Indices | None = None
    """(n,) rows of one number stay together when outcomes are split: one document, one person."""

    def __post_init__(self) -> None:
        num_rows = len(np.atleast_1d(self.local_correct))
        set_field = object.__setattr__
        set_field(self, "feature_names", tuple(self.feature_names))
        set_field(self, "local_correct", share_column("local_correct", self.local_correct))
        if self.cloud_correct is not None:
            cloud = share_column("cloud_correct", self.cloud_correct, num_rows, gaps=True)
            set_field(self, "cloud_correct", cloud)
        for name in _AMOUNTS:
            values = getattr(self, name)
            if values is not None:
                column = positive_column(name, values, num_rows, zero=name != "weights")
                set_field(self, name, column)
        if self.groups is not None:
            groups = np.asarray(self.groups, np.int64)
            if groups.shape != (num_rows,):
                raise CalibrationDataError(f"groups: shape {groups.shape} for {num_rows} rows")
            set_field(self, "groups", groups)
        set_field(self, "features", self._checked_features(num_rows))
        set_field(self, "spent_tokens", self._checked_spent(num_rows))

    def __len__(self) -> int:
        return len(self.local_correct)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """In the order in which drafts pass them."""
        return tuple(self.features)

    @property
    def has_cloud(self) -> bool:
        """Whether any row knows how right the cloud was."""
        return self.cloud_correct is not None and not bool(np.all(np.isnan(self.cloud_correct)))

    @property
    def wrong(self) -> Floats:
        """(n,) how wrong the local answer was, in [0, 1]."""
        return 1.0 - self.local_correct

    @property
    def gain(self) -> Floats:
        """(n,) how much righter the cloud was, at least 0: what keeping the local answer loses.

        NaN where the cloud was not asked. Without any cloud it is `wrong`, as if the cloud were
        always right: nothing can be lost beyond that.
        """
        if self.cloud_correct is None or not self.has_cloud:
            return self.wrong
        return np.maximum(0.0, self.cloud_correct - self.local_correct)

    def reached(self, checkpoint: Checkpoint) -> Mask:
        """(n,) whether the draft passed the checkpoint."""
        spent = self.spent_tokens.get(checkpoint)
        return np.ones(len(self), np.bool_) if spent is None else ~np.isnan(spent)

    def weight(self) -> Floats:
        """(n,) the weights, of ones where there are none."""
        return np.ones(len(self)) if self.weights is None else self.weights

    def select(self, rows: Indices | Mask) -> Outcomes:
        """The given rows, in that order."""
        chosen: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, np.ndarray):
                value = value[rows]
            elif one.name in ("features", "spent_tokens"):
                value = {name: array[rows] for name, array in value.items()}
            chosen[one.name] = value
        return Outcomes(**chosen)

    def split(self, share: float, seed: int = 0) -> tuple[Outcomes, Outcomes]:
        """Two random parts, the first with about `share` of the rows; groups stay whole.

        Raises:
            CalibrationDataError: a part would be empty.
        """
        rng = np.random.default_rng(seed)
        groups = np.arange(len(self)) if self.groups is None else self.groups
        names = np.unique(groups)
        rng.shuffle(names)
        num_first = round(share * len(names))
        if not 0 < num_first < len(names):
            raise CalibrationDataError(
                f"{len(names)} prompts cannot be split in two at {share:g}",
                hint="bring more prompts",
            )
        is_first = np.isin(groups, names[:num_first])
        return self.select(np.flatnonzero(is_first)), self.select(np.flatnonzero(~is_first))

    def _checked_features(self, num_rows: int) -> Mapping[Checkpoint, Floats]:
        if not self.features:
            raise CalibrationDataError("no checkpoint has features")
        shape = (num_rows, len(self.feature_names))
        checked = {}
        for name, values in self.features.items():
            array = np.asarray(values, np.float64)
            if array.shape != shape:
                raise CalibrationDataError(
                    f"features at {name!r}: shape {array.shape} instead of {shape}"
                )
            checked[name] = array
        return MappingProxyType(checked)

    def _checked_spent(self, num_rows: int) -> Mapping[Checkpoint, Floats]:
        checked = {}
        for name, values in self.spent_tokens.items():
            array = np.asarray(values, np.float64)
            if name not in self.features or array.shape != (num_rows,):
                raise CalibrationDataError(f"spent_tokens: {name!r} fits no features")
            checked[name] = array
        return MappingProxyType(checked)


_AMOUNTS = (
    "local_tokens",
    "local_cost_usd",
    "cloud_cost_usd",
    "local_latency_s",
    "cloud_latency_s",
    "weights",
)
