"""A calibration as a small file of JSON that a person can read."""

from __future__ import annotations

from pathlib import Path

from edge_llm.confidence.calibration.calibration import Calibration


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write it in place of what was there, in whole or not at all.

    Raises:
        CalibrationError: it cannot be written.
    """
    raise NotImplementedError


def load_calibration(path: Path) -> Calibration:
    """The calibration in a file.

    Raises:
        CalibrationNotFoundError: there is no such file.
        CalibrationVersionError: a newer edge-llm wrote it.
        CalibrationFormatError: it is damaged, or something else.
    """
    raise NotImplementedError
