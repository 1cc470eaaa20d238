"""Fit a calibration on outcomes."""

from __future__ import annotations

from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.outcomes import Outcomes


def fit_calibration(outcomes: Outcomes, binding: Binding, *, seed: int = 0) -> Calibration:
    """The calibration of every checkpoint that enough drafts reached, for both targets.

    Raises:
        CalibrationDataError: too few rows.
    """
    raise NotImplementedError
