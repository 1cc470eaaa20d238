"""Configurations side by side, on the same questions: means, intervals, differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_llm.confidence.arrays import Floats, Indices
from edge_llm.confidence.metrics.bootstrap import bootstrap
from edge_llm.confidence.metrics.intervals import Interval
from edge_llm.evaluate.configurations import Played
from edge_llm.evaluate.outcomes import groups_of
from edge_llm.evaluate.recording import Recording

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Compared:
    """One configuration's figures."""

    name: str
    accuracy: Interval
    difference: Interval | None
    """Of its accuracy to the baseline's, on the same questions; None for the baseline itself."""
    usd_per_1000: float
    saved: float | None
    """Share of the baseline's cost that is not spent; None where that costs nothing."""
    escalated: float
    local_tokens: float
    """Mean of a request."""
    latency_p50_s: float | None
    latency_p95_s: float | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        record = asdict(self)
        record["accuracy"] = self.accuracy._asdict()
        record["difference"] = None if self.difference is None else self.difference._asdict()
        return record


def compare(
    recordings: Sequence[Recording], played: Sequence[Played], baseline: Played, *, seed: int = 0
) -> list[Compared]:
    """Each configuration against the baseline; intervals of 95 % by the paired bootstrap."""
    weights = np.array([one.weight for one in recordings], np.float64)
    groups = groups_of(recordings)
    found = []
    for one in played:
        difference = None
        if one is not baseline:
            gap = one.correct - baseline.correct
            difference = _interval(gap, weights, groups, seed)
        found.append(
            Compared(
                one.name,
                _interval(one.correct, weights, groups, seed),
                difference,
                1000 * float(np.average(one.cost_usd, weights=weights)),
                _saved(one, baseline, weights),
                float(np.average(one.escalated, weights=weights)),
                float(np.average(one.local_tokens, weights=weights)),
                _quantile(one.latency_s, 0.5),
                _quantile(one.latency_s, 0.95),
                one.note,
            )
        )
    return found


def _interval(values: Floats, weights: Floats, groups: Indices | None, seed: int) -> Interval:
    def mean(rows: Indices) -> float:
        return float(np.average(values[rows], weights=weights[rows]))

    found = bootstrap(mean, len(values), groups=groups, resamples=RESAMPLES, seed=seed)
    return found if found is not None else Interval(np.nan, np.nan, np.nan)


def _saved(one: Played, baseline: Played, weights: Floats) -> float | None:
    full = float(np.average(baseline.cost_usd, weights=weights))
    if full <= 0.0:
        return None
    return 1.0 - float(np.average(one.cost_usd, weights=weights)) / full


def _quantile(seconds: Floats, level: float) -> float | None:
    known = seconds[~np.isnan(seconds)]
    return float(np.quantile(known, level)) if len(known) else None
