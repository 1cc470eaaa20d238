"""From what a user calls a model to the file on this machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from edge_llm.config import BUILTIN_MODEL
from edge_llm.errors import ModelNotFoundError, ModelNotInstalledError, did_you_mean
from edge_llm.hub.imports import open_import
from edge_llm.hub.installed import InstalledModel, find_installed
from edge_llm.hub.onnx_folder import find_model
from edge_llm.hub.packaged import models_folder
from edge_llm.hub.reference import ModelReference, parse_reference
from edge_llm.hub.registry import repositories, sampling_of

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
    sampling: Mapping[str, float] = field(default_factory=dict)
    """What the catalogue knows its makers to recommend; for files that say nothing themselves."""


def resolve_model(reference: str) -> ModelLocation:
    """The model file on this machine that `reference` means, in any form of `hub.reference`.

    `builtin` is the one for the best engine that is installed; `builtin:gguf` and `builtin:onnx`
    choose. A path that exists goes before a name on the hub. No request is ever made.

    Raises:
        ModelNotInstalledError: it has to be pulled first; names the command.
        ModelNotFoundError: there is no such file or name; names those that are near.
        ModelReferenceError: it has no form that a model can have.
        ModelIntegrityError: an imported model changed since.
    """
    if not reference.startswith(BUILTIN_MODEL) and Path(reference).expanduser().exists():
        return _existing(reference, Path(reference).expanduser())
    parsed = parse_reference(reference)
    if parsed.kind == "builtin":
        return _builtin(parsed.quant or best_builtin(), reference)
    if parsed.kind == "import":
        return ModelLocation(parsed.name, open_import(parsed.name))
    if parsed.kind == "path":
        return _existing(reference, Path(reference).expanduser())
    model = find_pulled(parsed)
    sampling = sampling_of(model.folder.name)
    return ModelLocation(model.name, model.path.absolute(), sampling)


def find_pulled(reference: ModelReference) -> InstalledModel:
    """The pulled model that a reference to the hub or to the catalogue means.

    Raises:
        ModelNotInstalledError: none of its repositories is here, or not what was meant of it.
        ModelNotFoundError: the catalogue has no such name.
    """
    try:
        candidates = repositories(reference)
    except ModelNotFoundError as exc:
        raise ModelNotFoundError(exc.message, hint=_hint(reference.text, exc.hint)) from exc
    for repo in candidates:
        with suppress(ModelNotInstalledError):
            return find_installed(reference, repo)
    return find_installed(reference, candidates[0])


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
        # Not resolved: the other parts of a split model lie beside the link.
        return ModelLocation(path.stem, path.absolute())
    if path.is_dir() and next(path.glob("**/*.onnx"), None) is not None:
        return ModelLocation(find_model(path).name, path.absolute())
    if path.is_dir():
        inside = sorted(p.name for p in path.glob("*.gguf"))
        raise ModelNotFoundError(
            f"{reference!r} is a folder",
            hint="name one file: " + ", ".join(inside) if inside else "it holds no model",
        )
    raise ModelNotFoundError(f"there is no model {reference!r}", hint=_hint(reference))


def _hint(reference: str, catalogue_hint: str | None = None) -> str:
    """Near names, among the files beside where it should be too, and what works always."""
    path = Path(reference).expanduser()
    known = {BUILTIN_MODEL}
    if path.parent.is_dir():
        known |= {str(path.parent / p.name) for p in path.parent.glob("*.gguf")}
        known |= {str(path.parent / p.name) for p in path.parent.glob("*.onnx")}
    near = did_you_mean(reference, known)
    if near.startswith("did you mean"):
        return near
    if catalogue_hint and catalogue_hint.startswith("did you mean"):
        return catalogue_hint
    return f"{_FORMS}; {near}"


_FORMS = "'builtin', or a path, a name of the catalogue, or hf:owner/repo[:quant]"
