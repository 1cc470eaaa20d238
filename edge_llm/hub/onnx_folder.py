"""Folders of ONNX models as people have them: which graph to take, and what stands beside it.

Exports of `optimum` and onnx-community keep several precisions in `onnx/`, with the JSON files one
folder above; `onnxruntime-genai` folders name their graph in `genai_config.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_llm.errors import ModelFormatError, ModelNotFoundError

TOKENIZER = "tokenizer.json"
MAX_JSON_BYTES = 1 << 26
"""Twice the largest tokenizer.json in use (256k tokens, 33 MB)."""

PREFERRED = ("q4", "int8", "quantized", "uint8", "", "fp32", "q4f16", "fp16", "bnb4")
"""Precisions by what suits a small CPU: four bits lose little, half floats are slow without
hardware for them."""

_PRECISION = re.compile(r"(?:decoder_)?(?:model|with_past)(?:_merged)?_?(?P<kind>\w*)\.onnx")
_GRAPHS = ("model*.onnx", "decoder_model_merged*.onnx", "decoder_with_past*.onnx")


@dataclass(frozen=True, slots=True)
class OnnxFolder:
    """A graph and the files that say what to do with it."""

    model: Path
    """The .onnx file."""
    root: Path
    """Where tokenizer and configuration are."""
    others: tuple[str, ...] = ()
    """Names of other precisions in the same folder."""

    @property
    def name(self) -> str:
        """What the model is called: the folder, and the file where there is a choice."""
        folder = self.root.resolve().name or self.model.stem
        return f"{folder}/{self.model.stem}" if self.others else folder

    def json(self, name: str) -> Mapping[str, Any]:
        """The object in a JSON file beside the model; empty where there is none.

        Raises:
            ModelFormatError: it is no JSON object.
        """
        path = self.root / name
        if not path.is_file():
            return {}
        value = parse_json(path)
        if not isinstance(value, dict):
            raise ModelFormatError(f"{str(path)!r} is not a JSON object")
        return value

    def text(self, name: str) -> str | None:
        """The content of a text file beside the model; None where there is none.

        Raises:
            ModelFormatError: it is no text.
        """
        path = self.root / name
        return _read(path) if path.is_file() else None


def find_model(path: Path) -> OnnxFolder:
    """The model that a folder or an .onnx file means.

    Raises:
        ModelNotFoundError: no decoder is there; says what is.
        ModelFormatError: the folder's configuration cannot be read.
    """
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise ModelNotFoundError(f"there is no model file {str(path)!r}", hint="check the path")
    root = path.parent
    if not (root / TOKENIZER).is_file() and (root.parent / TOKENIZER).is_file():
        root = root.parent
    others = tuple(p.name for p in _graphs(path.parent) if p.name != path.name)
    return OnnxFolder(path, root, others)


def _in_folder(folder: Path) -> OnnxFolder:
    named = _named_by_genai(folder)
    if named is not None:
        return OnnxFolder(named, folder)
    for place in (folder, folder / "onnx"):
        graphs = _graphs(place)
        if graphs:
            chosen = min(graphs, key=_preference)
            return OnnxFolder(chosen, folder, tuple(p.name for p in graphs if p != chosen))
    found = sorted(p.relative_to(folder).as_posix() for p in folder.glob("**/*.onnx"))
    raise ModelNotFoundError(
        f"{str(folder)!r} holds no ONNX decoder",
        hint="name one file: " + ", ".join(found[:8]) if found else "it holds no .onnx file",
    )


def _named_by_genai(folder: Path) -> Path | None:
    decoder = OnnxFolder(folder, folder).json("genai_config.json").get("model", {})
    decoder = decoder.get("decoder", {}) if isinstance(decoder, dict) else {}
    name = decoder.get("filename") if isinstance(decoder, dict) else None
    if not isinstance(name, str):
        return None
    if not name or Path(name).name != name:
        raise ModelFormatError(f"genai_config.json names the decoder {name!r}, which is no file")
    return folder / name


def _graphs(folder: Path) -> list[Path]:
    return sorted({path for pattern in _GRAPHS for path in folder.glob(pattern)})


def _preference(path: Path) -> tuple[int, str]:
    match = _PRECISION.fullmatch(path.name)
    kind = match["kind"] if match else "?"
    return (PREFERRED.index(kind) if kind in PREFERRED else len(PREFERRED), path.name)


def parse_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        ModelFormatError: it is no JSON, too large or nested too deeply.
    """
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as exc:
        raise ModelFormatError(
            f"{str(path)!r} is damaged: {exc}", hint="download it again"
        ) from exc


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ModelFormatError(f"{str(path)!r} has more than {MAX_JSON_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelFormatError(
            f"{str(path)!r} cannot be read as text: {exc}", hint="download it again"
        ) from exc
