"""A calibration as JSON values and back: versioned, readable, and believed in nothing.

What is read may come from anybody: every number, length and name is checked before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from edge_llm.confidence.arrays import Floats
from edge_llm.confidence.calibration.binding import Binding
from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.calibration.checkpoint import CheckpointCalibration, TargetModel
from edge_llm.confidence.calibration.columns import Columns
from edge_llm.confidence.calibration.logistic import Linear
from edge_llm.confidence.calibration.mapping import ProbabilityMapping
from edge_llm.confidence.guarantees.record import certificate_record, read_certificate
from edge_llm.errors import CalibrationFormatError, CalibrationVersionError

FORMAT = "edge-llm calibration"
VERSION = 1

Record = dict[str, Any]
T = TypeVar("T")


def calibration_record(calibration: Calibration) -> Record:
    """JSON values that `read_calibration` turns back into the same calibration."""
    certificate = calibration.certificate
    return {
        "format": FORMAT,
        "version": VERSION,
        "binding": asdict(calibration.binding),
        "num_labels": calibration.num_labels,
        "certificate": None if certificate is None else certificate_record(certificate),
        "features": list(calibration.feature_names),
        "checkpoints": {
            name: _checkpoint_record(one, calibration.feature_names)
            for name, one in calibration.checkpoints.items()
        },
        "parts": dict(calibration.parts),
    }


def read_calibration(record: Any) -> Calibration:
    """The calibration in JSON values.

    Raises:
        CalibrationVersionError: a newer edge-llm wrote it.
        CalibrationFormatError: something is missing, unknown or impossible.
    """
    try:
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']!r}")
        if isinstance(record["version"], int) and record["version"] > VERSION:
            raise CalibrationVersionError(
                f"the calibration has version {record['version']}, and {VERSION} is known here",
                hint="update edge-llm, or calibrate again",
            )
        return _calibration(record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        what = f"{exc} is missing" if isinstance(exc, KeyError) else str(exc)
        raise CalibrationFormatError(
            f"this is no calibration: {what}", hint="run `edge-llm calibrate` again"
        ) from exc


def _calibration(record: Record) -> Calibration:
    _known(record, "format", "version", *_FIELDS)
    if record["version"] != VERSION:
        raise ValueError(f"version {record['version']!r}")
    names = tuple(_text(name) for name in record["features"])
    if len(set(names)) != len(names):
        raise ValueError("a feature is there twice")
    checkpoints = {
        _text(name): _checkpoint(one, names) for name, one in record["checkpoints"].items()
    }
    if not checkpoints:
        raise ValueError("no checkpoint")
    certificate = record["certificate"]
    return Calibration(
        _binding(record["binding"]),
        names,
        MappingProxyType(checkpoints),
        _count(record["num_labels"]),
        None if certificate is None else read_certificate(certificate),
        MappingProxyType(dict(record["parts"].items())),
    )


def _binding(record: Record) -> Binding:
    _known(record, *(one.name for one in fields(Binding)))
    return Binding(**{name: _text(value) for name, value in record.items()})


def _checkpoint_record(one: CheckpointCalibration, names: tuple[str, ...]) -> Record:
    columns = one.columns
    return {
        "num_labels": one.num_labels,
        "center": dict(zip(names, columns.center.tolist(), strict=True)),
        "scale": dict(zip(names, columns.scale.tolist(), strict=True)),
        "gaps": [names[index] for index in columns.gaps],
        "wrong": _target_record(one.wrong, columns, names),
        "gain": None if one.gain is None else _target_record(one.gain, columns, names),
    }


def _target_record(model: TargetModel, columns: Columns, names: tuple[str, ...]) -> Record:
    weights = model.combination.weights.tolist()
    missing = [names[index] for index in columns.gaps]
    return {
        "bias": model.combination.bias,
        "weights": dict(zip(names, weights[: len(names)], strict=True)),
        "weights_of_gaps": dict(zip(missing, weights[len(names) :], strict=True)),
        "mapping": asdict(model.mapping),
        "quantiles": model.quantiles.tolist(),
    }


def _checkpoint(record: Record, names: tuple[str, ...]) -> CheckpointCalibration:
    _known(record, "num_labels", "center", "scale", "gaps", "wrong", "gain")
    gaps = [names.index(name) for name in record["gaps"]]
    if sorted(set(gaps)) != gaps:
        raise ValueError("gaps are out of order")
    scale = _named(record["scale"], names)
    if (scale < 0.0).any():
        raise ValueError("a negative scale")
    columns = Columns(_named(record["center"], names), scale, tuple(gaps))
    gain = record["gain"]
    return CheckpointCalibration(
        columns,
        _target(record["wrong"], columns, names),
        None if gain is None else _target(gain, columns, names),
        _count(record["num_labels"]),
    )


def _target(record: Record, columns: Columns, names: tuple[str, ...]) -> TargetModel:
    _known(record, "bias", "weights", "weights_of_gaps", "mapping", "quantiles")
    missing = tuple(names[index] for index in columns.gaps)
    weights = [_named(record["weights"], names), _named(record["weights_of_gaps"], missing)]
    quantiles = _rising(record["quantiles"], "quantiles")
    if not len(quantiles) or quantiles[0] < 0.0 or quantiles[-1] > 1.0:
        raise ValueError("quantiles outside [0, 1]")
    combination = Linear(np.concatenate(weights), _number(record["bias"]))
    return TargetModel(combination, _mapping(record["mapping"]), quantiles)


def _mapping(record: Record) -> ProbabilityMapping:
    _known(record, *(one.name for one in fields(ProbabilityMapping)))
    kind, slope = record["kind"], _number(record["slope"])
    if kind not in ("platt", "venn_abers", "isotonic") or slope < 0.0:
        raise ValueError(f"a mapping of kind {kind!r} and slope {slope}")
    knots, values = _rising(record["knots"], "knots"), _rising(record["values"], "values")
    if len(knots) != len(values) or len(np.unique(knots)) != len(knots):
        raise ValueError("knots and values do not fit")
    if len(values) and not 0.0 <= values[0] <= values[-1] <= 1.0:
        raise ValueError("values outside [0, 1]")
    return ProbabilityMapping(
        kind, slope, _number(record["intercept"]), tuple(knots.tolist()), tuple(values.tolist())
    )


def _known(record: Mapping[str, Any], *names: str) -> None:
    extra = record.keys() ^ set(names)
    if extra:
        raise ValueError(f"{sorted(extra)[0]!r} is missing or unknown")


def _named(record: Mapping[str, Any], names: tuple[str, ...]) -> Floats:
    _known(record, *names)
    return np.array([_number(record[name]) for name in names], np.float64)


def _rising(values: Any, what: str) -> Floats:
    array = np.array(_each(values, _number), np.float64)
    if (np.diff(array) < 0.0).any():
        raise ValueError(f"{what} fall")
    return array


def _each(values: Any, read: Callable[[Any], T]) -> list[T]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"{values!r:.40} is no list")
    return [read(value) for value in values]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} is no number")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r:.40} is no count")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


_FIELDS = ("binding", "num_labels", "certificate", "features", "checkpoints", "parts")
