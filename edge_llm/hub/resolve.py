"""From what a user calls a model to the file on this machine."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from edge_llm.config import BUILTIN_MODEL
from edge_llm.errors import ModelNotFoundError, did_you_mean
from edge_llm.hub.foreign import foreign_name, is_foreign
from edge_llm.hub.imports import open_import
from edge_llm.hub.onnx_folder import find_model

logger = logging.getLogger(__name__)

BUILTIN_FILE = Path("builtin") / "edge-llm-builtin-q8_0.gguf"
BUILTIN_ONNX_FILE = Path("builtin") / "onnx" / "model_int8.onnx"
BUILTIN_FILES = MappingProxyType({"gguf": BUILTIN_FILE, "onnx": BUILTIN_ONNX_FILE})
"""By what comes after `builtin:`; best first, where its library is installed."""


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """A model that exists on this machine."""

    name: str
    """What answers are labelled with."""
    path: Path


def models_folder() -> Path:
    """The `models/` data: inside the package when installed, beside it in a checkout."""
    package = Path(str(files("edge_llm")))
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"


def resolve_model(reference: str) -> ModelLocation:
    """The model file that `reference` means: `builtin`, a path, or a folder with an ONNX model.

    `builtin` is the one for the best engine that is installed; `builtin:gguf` and `builtin:onnx`
    choose.

    Raises:
        ModelNotFoundError: there is no such file; names those that are near.
        ModelIntegrityError: an imported model changed since.
    """
    name, _, kind = reference.partition(":")
    if name == BUILTIN_MODEL:
        return _builtin(kind or best_builtin(), reference)
    if is_foreign(reference):
        name = foreign_name(reference)
        return ModelLocation(name, open_import(name))
    path = Path(reference).expanduser()
    return _existing(reference, path)


def best_builtin() -> str:
    """The format that the built-in model runs in: GGUF where llama.cpp is installed, else ONNX."""
    has_llama_cpp = find_spec("llama_cpp") is not None
    kind = "gguf" if has_llama_cpp else "onnx"
    logger.info("the built-in model runs as %s", kind.upper())
    return kind


def _builtin(kind: str, reference: str) -> ModelLocation:
    if kind not in BUILTIN_FILES:
        raise ModelNotFoundError(
            f"there is no model {reference!r}",
            hint=did_you_mean(reference, [f"{BUILTIN_MODEL}:{known}" for known in BUILTIN_FILES]),
        )
    path = models_folder() / BUILTIN_FILES[kind]
    if not path.is_file():
        raise ModelNotFoundError(
            "the built-in model is missing from this installation",
            hint=f"install edge-llm again; the file should be {path}",
        )
    return ModelLocation(BUILTIN_MODEL, path)


def _existing(reference: str, path: Path) -> ModelLocation:
    if path.suffix == ".onnx" and path.is_file():
        # Not resolved: in the cache of Hugging Face it is a link, and its weights lie beside it.
        return ModelLocation(find_model(path).name, path.absolute())
    if path.is_file():
        return ModelLocation(path.stem, path.resolve())
    if path.is_dir() and next(path.glob("**/*.onnx"), None) is not None:
        return ModelLocation(find_model(path).name, path.absolute())
    if path.is_dir():
        inside = sorted(p.name for p in path.glob("*.gguf"))
        raise ModelNotFoundError(
            f"{reference!r} is a folder",
            hint="name one file: " + ", ".join(inside) if inside else "it holds no model",
        )
    raise ModelNotFoundError(f"there is no model {reference!r}", hint=_hint(reference, path))


def _hint(reference: str, path: Path) -> str:
    """Near names among the files beside where it should be, and what works always."""
    known = {BUILTIN_MODEL}
    if path.parent.is_dir():
        known |= {str(path.parent / p.name) for p in path.parent.glob("*.gguf")}
        known |= {str(path.parent / p.name) for p in path.parent.glob("*.onnx")}
    near = did_you_mean(reference, known)
    return near if near.startswith("did you mean") else f"'builtin', or a path; {near}"
