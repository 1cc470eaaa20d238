"""Calibrations that cannot be fitted, read or used."""

from __future__ import annotations

from edge_llm.errors.base import EdgeLLMError


class CalibrationError(EdgeLLMError):
    """A calibration cannot be fitted, read, written or used."""

    code = "calibration_error"


class CalibrationDataError(CalibrationError):
    """The outcomes do not fit together, or are too few."""

    code = "calibration_data"
    status_code = 400


class CalibrationInfeasibleError(CalibrationError):
    """No threshold keeps what was to be promised; `hint` says what would help."""

    code = "calibration_infeasible"


class CalibrationNotFoundError(CalibrationError):
    """There is no such file."""

    code = "calibration_not_found"
    status_code = 404


class CalibrationFormatError(CalibrationError):
    """The file is damaged, or is no calibration."""

    code = "calibration_format"


class CalibrationVersionError(CalibrationFormatError):
    """A newer edge-llm wrote the file."""

    code = "calibration_version"


class CalibrationMismatchError(CalibrationError):
    """The calibration is for another model, quantisation, template or task."""

    code = "calibration_mismatch"
