"""A tiny GGUF model of each family in the catalogue, in the architecture that its files name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.gguf_files import (
    F32,
    STRING,
    Key,
    Tensor,
    TinySpec,
    build_gguf,
    tiny_metadata,
    tiny_tensors,
    write_tiny_model,
)
from tests.support.recurrent_files import write_recurrent_model

GRANITE_SCALES = ("attention.scale", "embedding_scale", "residual_scale", "logit_scale")

ARCHITECTURES = {
    "qwen25": "qwen2",
    "qwen3": "qwen3",
    "gemma3": "gemma3",
    "llama32": "llama",
    "mistral": "llama",
    "phi4": "phi3",
    "smollm2": "llama",
    "smollm3": "smollm3",
    "lfm2": "lfm2",
    "granite4": "granite",
}
"""By family. Ministral 3 has one of its own, `mistral3`."""


def write_family_model(path: Path, arch: str) -> Path:
    """Write a model of that architecture with random weights and return its path."""
    if arch == "lfm2":
        return write_recurrent_model(path, "lfm2")
    spec = TinySpec(arch=arch, context=512)
    if arch == "granite":
        scales = tuple(Key(f"granite.{name}", F32, 1.0) for name in GRANITE_SCALES)
        return write_tiny_model(path, replace(spec, extra=scales))
    if arch == "phi3":
        # llama.cpp looks for Phi 3's own tokens where the name says that it is one.
        spec = replace(spec, extra=(Key("general.name", STRING, "Tiny Phi 4"),))
        path.write_bytes(build_gguf(tiny_metadata(spec), _fused(tiny_tensors(spec))))
        return path
    return write_tiny_model(path, spec)


def _fused(tensors: list[Tensor]) -> list[Tensor]:
    """Queries, keys and values as one matrix, gate and up as another, as Phi has them."""
    by_name = {tensor.name: tensor for tensor in tensors}
    found = []
    for tensor in tensors:
        block, _, name = tensor.name.rpartition(".weight")[0].rpartition(".")
        if name == "attn_q":
            parts = [by_name[f"{block}.{part}.weight"] for part in ("attn_q", "attn_k", "attn_v")]
            found.append(_joined(f"{block}.attn_qkv.weight", parts))
        elif name == "ffn_gate":
            parts = [by_name[f"{block}.{part}.weight"] for part in ("ffn_gate", "ffn_up")]
            found.append(_joined(f"{block}.ffn_up.weight", parts))
        elif name not in ("attn_k", "attn_v", "ffn_up"):
            found.append(tensor)
    return found


def _joined(name: str, parts: list[Tensor]) -> Tensor:
    rows = sum(part.shape[1] for part in parts)
    return Tensor(name, (parts[0].shape[0], rows), "F32", b"".join(part.data for part in parts))
