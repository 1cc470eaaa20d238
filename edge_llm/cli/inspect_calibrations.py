"""Which calibrations there are for a model, whether they hold, and what they promise."""

from __future__ import annotations

import math
from hashlib import sha256
from pathlib import Path
from typing import Any

from edge_llm.cli.inspect_parts import Record
from edge_llm.config import EdgeConfig
from edge_llm.hub.gguf import read_gguf
from edge_llm.hub.resolve import ModelLocation
from edge_llm.prompt.chat_template import CHATML
from edge_llm.runtime.calibrations import FoundCalibration, calibrations_folder, list_calibrations
from edge_llm.runtime.local import read_template


def describe_calibrations(location: ModelLocation, config: EdgeConfig) -> Record:
    """One line for each; reads the model's file only where there is any."""
    if not calibrations_folder().is_dir():
        return {}
    source = read_template(config.chat_template) or _own_template(location.path) or CHATML
    found = list_calibrations(location, sha256(source.encode()).hexdigest())
    return {"calibrations": {_name(one): _describe(one) for one in found}} if found else {}


def _name(found: FoundCalibration) -> str:
    calibration = found.calibration
    if calibration is None:
        return "" if found.path is None else found.path.name
    return f"{calibration.binding.task} ({calibration.binding.quantization})"


def _describe(found: FoundCalibration) -> dict[str, Any]:
    known: dict[str, Any] = {
        "path": str(found.path),
        "holds": found.note is None,
        "problem": found.note,
    }
    calibration = found.calibration
    if calibration is None:
        return known
    known |= {"labels": calibration.num_labels, "checkpoints": list(calibration.checkpoints)}
    certificate = calibration.certificate
    if certificate is not None:
        threshold = certificate.policy.threshold
        known |= {
            "goal": str(certificate.goal),
            "kept_share": certificate.kept_share,
            "risk": certificate.risk,
            "risk_bound": certificate.risk_bound,
            "threshold": threshold if math.isfinite(threshold) else None,
        }
    return known


def _own_template(path: Path) -> str | None:
    if path.suffix == ".onnx" or path.is_dir():
        from edge_llm.hub.onnx import find_model, read_config

        return read_config(find_model(path)).chat_template
    return read_gguf(path).info.chat_template
