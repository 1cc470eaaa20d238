"""GGUF files of gigabytes that take no room: a whole header, and holes in place of weights."""

from __future__ import annotations

from pathlib import Path
from struct import pack

from edge_llm.hub.gguf_types import GGML_TYPES
from tests.support.gguf_files import (
    TYPE_CODES,
    TinySpec,
    encode_string,
    encode_value,
    tiny_metadata,
    vocab_size,
)

EIGHT_BILLION = TinySpec(
    layers=32,
    width=4096,
    heads=32,
    kv_heads=8,
    feed_forward=14336,
    context=131072,
    storage="Q4_0",
    extra_tokens=128_000,
    tied=False,
)
"""The shape of a Llama of 8 billion parameters: 4.3 GB in four bits."""

Shapes = list[tuple[str, tuple[int, ...], str]]


def write_sparse_model(path: Path, spec: TinySpec = EIGHT_BILLION) -> Path:
    """Write a model of `spec` whose weights are holes in the file."""
    keys, shapes = tiny_metadata(spec), tensor_shapes(spec)
    head = [b"GGUF", pack("<IQQ", 3, len(shapes), len(keys))]
    head += [encode_string(key.name) + encode_value(key) for key in keys]
    offset = 0
    for name, shape, kind in shapes:
        dims = pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += [encode_string(name), dims, pack("<IQ", TYPE_CODES[kind], offset)]
        offset += -(-_num_bytes(shape, kind) // 32) * 32
    start = b"".join(head)
    with path.open("wb") as stream:
        stream.write(start)
        stream.truncate(-(-len(start) // 32) * 32 + offset)
    return path


def tensor_shapes(spec: TinySpec) -> Shapes:
    """Name, shape and type of every tensor of a Llama."""
    width, tokens = spec.width, vocab_size(spec)
    kv = width // spec.heads * spec.kv_heads
    shapes: Shapes = [
        ("token_embd.weight", (width, tokens), spec.storage),
        ("output_norm.weight", (width,), "F32"),
        ("output.weight", (width, tokens), spec.storage),
    ]
    for layer in range(spec.layers):
        block = f"blk.{layer}"
        shapes += [
            (f"{block}.attn_norm.weight", (width,), "F32"),
            (f"{block}.attn_q.weight", (width, width), spec.storage),
            (f"{block}.attn_k.weight", (width, kv), spec.storage),
            (f"{block}.attn_v.weight", (width, kv), spec.storage),
            (f"{block}.attn_output.weight", (width, width), spec.storage),
            (f"{block}.ffn_norm.weight", (width,), "F32"),
            (f"{block}.ffn_gate.weight", (width, spec.feed_forward), spec.storage),
            (f"{block}.ffn_up.weight", (width, spec.feed_forward), spec.storage),
            (f"{block}.ffn_down.weight", (spec.feed_forward, width), spec.storage),
        ]
    return shapes


def vocabulary_bytes(path: Path) -> int:
    """Bytes of the arrays that make up the vocabulary of a file."""
    from edge_llm.hub.gguf import GGUFArray, read_gguf

    metadata = read_gguf(path).metadata
    return sum(
        len(value.data)
        for key, value in metadata.items()
        if key.startswith("tokenizer.ggml.") and isinstance(value, GGUFArray)
    )


def _num_bytes(shape: tuple[int, ...], kind: str) -> int:
    ggml = GGML_TYPES[TYPE_CODES[kind]]
    count = 1
    for extent in shape:
        count *= extent
    return count // ggml.block_size * ggml.block_bytes
