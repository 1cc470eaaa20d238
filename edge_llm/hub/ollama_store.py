"""Ollama's store: manifests that name blobs by their hash, and the blobs, which are GGUF files.

```
manifests/registry.ollama.ai/library/qwen3/0.6b        JSON with layers, one of them the model
manifests-v2/ollama.com/library/qwen3/0.6b             the same since 2026; a link to a blob, or a
                                                       list of manifests, one for each runner
blobs/sha256-<64 hex>
```

Source: ollama manifest/{manifest,paths,layer}.go and types/model/name.go, read 2026-11-22.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_llm.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from edge_llm.hub.foreign import OLLAMA, ForeignFile, is_readable_folder

MAX_MANIFEST_BYTES = 4 << 20
"""Manifests of models in thousands of tensors stay below 1 MB."""

_ROOTS = ("manifests-v2", "manifests")
"""Where a name is in both, Ollama takes the first."""
_PUBLIC_HOSTS = frozenset(("registry.ollama.ai", "ollama.com"))
_LIBRARY = "library"

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.%-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256[:-](?P<hex>[0-9a-fA-F]{64})", re.ASCII)
_MODEL_LAYER = "application/vnd.ollama.image.model"
_MANIFEST_LIST = "application/vnd.ollama.manifest.list.v2+json"
_RUNNERS = ("ollama", "llamacpp", "ggml", "")
"""Those that run GGUF files, as a list of manifests names them; MLX does not."""


def ollama_folders(environ: Mapping[str, str], home: Path) -> list[Path]:
    """Where Ollama keeps models on this machine: `OLLAMA_MODELS` alone, or its usual places."""
    if named := environ.get("OLLAMA_MODELS"):
        places = [Path(named).expanduser()]
    else:
        # Second: the service that Ollama's installer sets up on Linux.
        places = [home / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models")]
    return [place for place in places if is_readable_folder(place / "blobs")]


class OllamaStore:
    """The models of one folder such as `~/.ollama/models`."""

    prefix = OLLAMA

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """See `ForeignStore.names`."""
        return sorted(self._manifests())

    def files(self, name: str) -> list[ForeignFile]:
        """See `ForeignStore.files`."""
        path = self._manifests().get(name)
        if path is None:
            raise ModelNotFoundError(
                f"{name!r} is not in {str(self.folder)!r}",
                hint=f"ollama pull {name.removeprefix(OLLAMA)}",
            )
        manifest = self._choose(_read_manifest(path, self.folder), path)
        layers = [layer for layer in _objects(manifest, "layers") if _kind(layer) == _MODEL_LAYER]
        if len(layers) != 1:
            raise UnsupportedModelError(
                f"the manifest {str(path)!r} names {len(layers)} GGUF files; one can be used",
                hint="pull another variant of the model",
            )
        return [self._blob(layers[0], path)]

    def _manifests(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for root in _ROOTS:
            for path in sorted((self.folder / root).glob("*/*/*/*")):
                parts = path.relative_to(self.folder / root).parts
                if all(map(_PART.fullmatch, parts)) and not path.is_dir():
                    found.setdefault(_name(*parts), path)
        return found

    def _choose(self, manifest: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
        """The manifest itself, or the one of a list that is for llama.cpp."""
        if manifest.get("mediaType") != _MANIFEST_LIST:
            return manifest
        children = {
            str(child.get("runner", "")).lower(): child for child in _objects(manifest, "manifests")
        }
        for runner in _RUNNERS:
            child = children.get(runner)
            if child is not None and "layers" in child:
                return child
            if child is not None:
                blob = self._blob_path(child.get("digest"), path)
                return _read_manifest(blob, self.folder)
        raise UnsupportedModelError(
            f"the manifest {str(path)!r} has nothing for llama.cpp, only for"
            f" {', '.join(sorted(children)) or 'nobody'}"
        )

    def _blob(self, layer: Mapping[str, Any], manifest: Path) -> ForeignFile:
        path = self._blob_path(layer.get("digest"), manifest)
        size = layer.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise _damaged(manifest, f"it gives a layer the size {size!r}")
        try:
            there = path.stat().st_size
        except OSError as exc:
            raise ModelNotFoundError(
                f"the blob {str(path)!r} that {str(manifest)!r} names cannot be read:"
                f" {exc.strerror or exc}",
                hint="pull the model again with ollama",
            ) from exc
        if there != size:
            raise _damaged(path, f"it has {there} bytes, and {str(manifest)!r} promises {size}")
        return ForeignFile(path, size, path.name.partition("-")[2])

    def _blob_path(self, digest: object, manifest: Path) -> Path:
        match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
        if match is None:
            raise _damaged(manifest, f"{str(digest)[:80]!r} is no digest")
        return self.folder / "blobs" / f"sha256-{match['hex'].lower()}"


def _name(host: str, namespace: str, model: str, tag: str) -> str:
    """The name as Ollama's users type it: `qwen3:0.6b`, `hf.co/owner/repo:Q4_K_M`."""
    short = f"{model}:{tag}"
    if host.lower() not in _PUBLIC_HOSTS:
        return f"{OLLAMA}{host}/{namespace}/{short}"
    return f"{OLLAMA}{short}" if namespace == _LIBRARY else f"{OLLAMA}{namespace}/{short}"


def _read_manifest(path: Path, folder: Path) -> Mapping[str, Any]:
    """Raises: ModelFormatError: it leads out of the store, or is no JSON object."""
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise _damaged(path, "it is a link that leads out of the store")
        if not path.is_file():
            raise ModelNotFoundError(f"there is no manifest {str(path)!r}")
        with path.open("rb") as stream:
            data = stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as exc:
        raise ModelNotFoundError(
            f"the manifest {str(path)!r} cannot be read: {exc.strerror or exc}"
        ) from exc
    if len(data) > MAX_MANIFEST_BYTES:
        raise _damaged(path, f"it has more than {MAX_MANIFEST_BYTES} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise _damaged(path, f"it is no JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise _damaged(path, "it is no JSON object")
    return value


def _objects(manifest: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    values = manifest.get(key)
    return (
        (value for value in values if isinstance(value, dict))
        if isinstance(values, list)
        else iter(())
    )


def _kind(layer: Mapping[str, Any]) -> str:
    return str(layer.get("mediaType", "")).partition(";")[0].strip()


def _damaged(path: Path, problem: str) -> ModelFormatError:
    return ModelFormatError(
        f"{str(path)!r} of Ollama's store cannot be used: {problem}",
        hint="pull the model again with ollama",
    )
