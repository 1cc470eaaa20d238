"""Where calibrations lie, and which of them holds for a model that is loaded."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from edge_llm.config import ConfidenceConfig, data_folder
from edge_llm.config.confidence import ANY_CALIBRATION, NO_CALIBRATION, REQUIRED_CALIBRATION
from edge_llm.errors import CalibrationError, CalibrationMismatchError, CalibrationNotFoundError
from edge_llm.hub.fingerprint import content_fingerprint
from edge_llm.hub.gguf import read_gguf
from edge_llm.hub.resolve import ModelLocation

if TYPE_CHECKING:  # numpy is for calibrations; who has none does not wait for it
    from edge_llm.confidence.calibration.binding import Binding
    from edge_llm.confidence.calibration.calibration import Calibration
    from edge_llm.confidence.prior import TextPrior
    from edge_llm.confidence.text.vectors import TextKind

logger = logging.getLogger(__name__)

FOLDER = "calibrations"


@dataclass(frozen=True, slots=True, eq=False)
class FoundCalibration:
    """What a model is judged by."""

    calibration: Calibration | None = None
    path: Path | None = None
    """The file; also of one that does not hold."""
    note: str | None = None
    """Why none holds, one sentence; None where one does, or none was looked for."""
    priors: Mapping[TextKind, TextPrior] = field(default_factory=lambda: MappingProxyType({}))
    """What it learned of texts, kept among its parts as `query_prior` and `answer_prior`."""


NOT_CALIBRATED = FoundCalibration()


def reads(found: FoundCalibration, feature: str) -> bool:
    """Whether a calibration holds that was fitted with this feature."""
    return found.calibration is not None and feature in found.calibration.feature_names


def calibrations_folder() -> Path:
    """Where calibrations are looked for; it need not exist."""
    return data_folder() / FOLDER


def calibration_path(model: str, binding: Binding, folder: Path | None = None) -> Path:
    """Where the calibration of a model belongs: `qwen3-0.6b.default.1a2b3c4d.json`.

    `model` is the name that answers are labelled with; the digits stand for all that it is bound
    to, so that those of several quantisations lie side by side.
    """
    bound = "\n".join((binding.fingerprint, binding.template_sha256, binding.task))
    digits = sha256(bound.encode()).hexdigest()[:8]
    folder = calibrations_folder() if folder is None else folder
    return folder / f"{_slug(model)}.{_slug(binding.task)}.{digits}.json"


def model_binding(location: ModelLocation, template_sha256: str, task: str) -> Binding:
    """What a calibration of this model at this task is bound to; reads the file.

    Raises:
        ModelError: the file cannot be read.
    """
    from edge_llm.confidence.calibration.binding import Binding

    return Binding(
        fingerprint=content_fingerprint(location.path),
        quantization=_quantization(location.path),
        template_sha256=template_sha256,
        task=task,
    )


def find_calibration(
    settings: ConfidenceConfig,
    location: ModelLocation,
    template_sha256: str,
    folder: Path | None = None,
) -> FoundCalibration:
    """The calibration that the configuration means; what does not hold is left out, with a note.

    Raises:
        CalibrationError: a named file cannot be read; or none holds, and one is required.
    """
    if settings.calibration == NO_CALIBRATION:
        return NOT_CALIBRATED
    folder = calibrations_folder() if folder is None else folder
    if settings.calibration not in (ANY_CALIBRATION, REQUIRED_CALIBRATION):
        found = _read(Path(settings.calibration).expanduser(), settings, location, template_sha256)
    else:
        found = _look(settings, location, template_sha256, folder)
    if found.calibration is None and settings.is_required:
        raise _refusal(found, settings, location)
    if found.calibration is None and found.path is not None:
        logger.warning("%s is judged without a calibration: %s", location.name, found.note)
    return found


def list_calibrations(
    location: ModelLocation, template_sha256: str, folder: Path | None = None
) -> list[FoundCalibration]:
    """Every calibration that bears the model's name, with why it does not hold; damaged ones too.

    Raises:
        ModelError: the model's file cannot be read.
    """
    folder = calibrations_folder() if folder is None else folder
    found = []
    for path in sorted(folder.glob(f"{_slug(location.name)}.*.json")):
        try:
            found.append(_judged(path, location, template_sha256))
        except CalibrationError as error:
            found.append(FoundCalibration(path=path, note=str(error.message)))
    return found


def _judged(path: Path, location: ModelLocation, template_sha256: str) -> FoundCalibration:
    from edge_llm.confidence.calibration.file import load_calibration

    calibration = load_calibration(path)
    loaded = model_binding(location, template_sha256, calibration.binding.task)
    return FoundCalibration(calibration, path, calibration.binding.mismatch(loaded))


def _look(
    settings: ConfidenceConfig, location: ModelLocation, template_sha256: str, folder: Path
) -> FoundCalibration:
    """The one that was made for this model, or why those that bear its name do not hold."""
    named = sorted(folder.glob(f"{_slug(location.name)}.{_slug(settings.task)}.*.json"))
    if not named:  # spares reading a large model
        return FoundCalibration(note=f"none was made for {location.name} at {settings.task!r}")
    path = calibration_path(
        location.name, model_binding(location, template_sha256, settings.task), folder
    )
    chosen = path if path in named else named[-1]
    try:
        return _read(chosen, settings, location, template_sha256)
    except CalibrationError as error:  # nobody named this file: it must not keep a model away
        return FoundCalibration(path=chosen, note=str(error.message))


def _read(
    path: Path, settings: ConfidenceConfig, location: ModelLocation, template_sha256: str
) -> FoundCalibration:
    from edge_llm.confidence.calibration.file import load_calibration

    calibration = load_calibration(path)
    loaded = model_binding(location, template_sha256, settings.task)
    note = calibration.binding.mismatch(loaded)
    if note is not None:
        return FoundCalibration(None, path, note)
    return FoundCalibration(calibration, path, None, _priors(calibration))


def _priors(calibration: Calibration) -> Mapping[TextKind, TextPrior]:
    from edge_llm.confidence.prior import TextPrior

    found = [calibration.parts.get(name) for name in ("query_prior", "answer_prior")]
    priors = [TextPrior.from_json(one) for one in found if one is not None]
    return MappingProxyType({prior.kind: prior for prior in priors})


def _refusal(
    found: FoundCalibration, settings: ConfidenceConfig, location: ModelLocation
) -> CalibrationError:
    kind = CalibrationNotFoundError if found.path is None else CalibrationMismatchError
    return kind(
        f"a calibration is required for {location.name}: {found.note}",
        hint=f"make one with `edge-llm calibrate DATA --task {settings.task}`, or set"
        " confidence.calibration to 'auto'",
    )


def _quantization(path: Path) -> str:
    if path.suffix != ".onnx":
        return read_gguf(path).info.quantization
    from edge_llm.hub.onnx import quantization, read_onnx

    return quantization(read_onnx(path))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "model"
