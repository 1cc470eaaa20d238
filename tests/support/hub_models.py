"""Models as repositories keep them: split, in folders, in several quantisations."""

from __future__ import annotations

import tempfile
from pathlib import Path

from edge_llm.hub.gguf_types import ValueType
from tests.support.gguf_files import Key, TinySpec, build_gguf, tiny_metadata, tiny_tensors
from tests.support.onnx_files import TinyOnnx, write_folder


def split_gguf(name: str, parts: int, spec: TinySpec | None = None) -> dict[str, bytes]:
    """A tiny model in several files, by the names that llama.cpp looks for."""
    spec = spec or TinySpec()
    tensors = tiny_tensors(spec)
    share = -(-len(tensors) // parts)
    found = {}
    for index in range(parts):
        split = [
            Key("split.no", ValueType.UINT16, index),
            Key("split.count", ValueType.UINT16, parts),
            Key("split.tensors.count", ValueType.INT32, len(tensors)),
        ]
        metadata = [*tiny_metadata(spec), *split] if index == 0 else split
        content = build_gguf(metadata, tensors[index * share : (index + 1) * share])
        found[f"{name}-{index + 1:05d}-of-{parts:05d}.gguf"] = content
    return found


def onnx_repo(spec: TinyOnnx | None = None) -> dict[str, bytes]:
    """A tiny model as onnx-community keeps it: the graph and its weights in `onnx/`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_folder(folder, spec, external=True)
        return {
            f"onnx/{path.name}" if path.name.startswith("model.onnx") else path.name: (
                path.read_bytes()
            )
            for path in folder.iterdir()
        }
