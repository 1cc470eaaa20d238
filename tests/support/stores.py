"""Stores of other programs as they lie on a disk: Ollama's of both layouts, and LM Studio's."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from tests.support.gguf_files import TinySpec, tiny_model

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_LIST = "application/vnd.ollama.manifest.list.v2+json"
MODEL = "application/vnd.ollama.image.model"


class OllamaTree:
    """A folder such as `~/.ollama/models`, filled as `ollama pull` fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs").mkdir(parents=True)

    def add_blob(self, data: bytes) -> str:
        """Store content under its hash; returns its digest."""
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / f"sha256-{digest}").write_bytes(data)
        return f"sha256:{digest}"

    def layer(self, kind: str, data: bytes) -> dict[str, Any]:
        """A layer of a manifest, its blob stored."""
        return {"mediaType": kind, "digest": self.add_blob(data), "size": len(data)}

    def manifest(self, weights: bytes | None = None) -> dict[str, Any]:
        """A manifest as those of chat models are, all of its blobs stored."""
        data = tiny_model(TinySpec()) if weights is None else weights
        config = json.dumps({"model_format": "gguf", "model_family": "llama"}).encode()
        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.layer("application/vnd.docker.container.image.v1+json", config),
            "layers": [
                self.layer(MODEL, data),
                self.layer("application/vnd.ollama.image.template", b"{{ .Prompt }}"),
                self.layer("application/vnd.ollama.image.params", b'{"stop": ["<|im_end|>"]}'),
                self.layer("application/vnd.ollama.image.license", b"Apache License"),
            ],
        }

    def add(self, path: str, manifest: Any) -> Path:
        """Write a manifest in `manifests/`, at host/namespace/model/tag."""
        target = self.folder / "manifests" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        target.write_text(text, encoding="utf-8")
        return target

    def link(self, path: str, manifest: Any) -> Path:
        """Keep a manifest as a blob, and link to it from `manifests-v2/`, as newer Ollamas do."""
        digest = self.add_blob(json.dumps(manifest).encode())
        target = self.folder / "manifests-v2" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        blob = self.folder / "blobs" / digest.replace(":", "-")
        target.symlink_to(os.path.relpath(blob, target.parent))
        return target


def write_lmstudio(folder: Path, files: dict[str, bytes]) -> Path:
    """A folder such as `~/.lmstudio/models` with files by their path in it."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
