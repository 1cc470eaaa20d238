"""Features brought to one scale, with gaps filled: what the combination reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_llm.confidence.arrays import Floats

LIMIT = 6.0
"""Standard deviations beyond which a value says no more: one outlier must not decide alone."""
_FEWEST_GAPS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Where each of k features lies, and which of them have gaps that mean something."""

    center: Floats
    """(k,) means; a gap counts as the mean."""
    scale: Floats
    """(k,) 1 / standard deviation; 0 for a feature that never varied, which then says nothing."""
    gaps: tuple[int, ...]
    """Features that were sometimes missing: a column of its own says when."""

    def transform(self, features: Floats) -> Floats:
        """(n, k + len(gaps)) columns for `features` (n, k)."""
        is_known = np.isfinite(features)
        with np.errstate(invalid="ignore"):
            scaled = np.where(is_known, (features - self.center) * self.scale, 0.0)
        missing = ~is_known[:, list(self.gaps)]
        return np.column_stack([np.clip(scaled, -LIMIT, LIMIT), missing])


def fit_columns(features: Floats, weights: Floats) -> Columns:
    """The columns of `features` (n, k); what is not finite is a gap."""
    is_known = np.isfinite(features)
    values = np.where(is_known, features, 0.0)
    mass = is_known * weights[:, None]
    total = np.maximum(mass.sum(axis=0), 1e-300)
    center = (mass * values).sum(axis=0) / total
    spread = np.sqrt((mass * (values - center) ** 2).sum(axis=0) / total)
    # Relative to the mean: rounding makes a constant column vary in its last bits.
    varies = spread > 1e-9 * np.maximum(1.0, np.abs(center))
    scale = np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0)
    num_gaps = (~is_known).sum(axis=0)
    is_told = (num_gaps >= _FEWEST_GAPS) & (num_gaps <= len(features) - _FEWEST_GAPS)
    return Columns(center, scale, tuple(np.flatnonzero(is_told).tolist()))
