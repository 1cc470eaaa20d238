"""A calibration as a small file of JSON that a person can read."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.calibration.record import calibration_record, read_calibration
from edge_llm.errors import (
    CalibrationError,
    CalibrationFormatError,
    CalibrationNotFoundError,
)

MAX_BYTES = 16 << 20
"""No calibration is larger; a file that is gets not read."""

# A list of numbers, which belongs on one line. No string has a line break, so that none is hit.
_NUMBERS = re.compile(r"\[\n[\s\d,.eE+-]*\]")


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write it in place of what was there, in whole or not at all.

    Raises:
        CalibrationError: it cannot be written.
    """
    try:
        text = json.dumps(calibration_record(calibration), indent=1, allow_nan=False)
        text = _NUMBERS.sub(lambda found: " ".join(found[0].split()), text)
    except (TypeError, ValueError, RecursionError) as exc:
        raise CalibrationError(f"a part of the calibration is no JSON: {exc}") from exc
    if path.exists() and not path.is_file():  # a device would be replaced by a file
        raise CalibrationError(f"{str(path)!r} is no ordinary file", hint="choose another file")
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, suffix=".new", delete=False
        ) as stream:
            temporary = Path(stream.name)
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as exc:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise CalibrationError(
            f"cannot write {str(path)!r}: {exc.strerror or exc}", hint="choose another file"
        ) from exc


def load_calibration(path: Path) -> Calibration:
    """The calibration in a file.

    Raises:
        CalibrationNotFoundError: there is no such file, or it cannot be read.
        CalibrationVersionError: a newer edge-llm wrote it.
        CalibrationFormatError: it is damaged, or something else.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise CalibrationNotFoundError(
            f"cannot read {str(path)!r}: {exc.strerror or exc}",
            hint="`edge-llm calibrate` writes one",
        ) from exc
    return read_calibration(_parsed(path, data))


def _parsed(path: Path, data: bytes) -> Any:
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES} bytes")
        return json.loads(data, parse_constant=_refused)
    except (ValueError, RecursionError) as exc:
        raise CalibrationFormatError(
            f"{str(path)!r} is damaged: {exc}", hint="run `edge-llm calibrate` again"
        ) from exc


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
