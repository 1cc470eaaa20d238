"""GGUF files in the shape of real models with random weights: right for speed, wrong for answers.

The forward pass costs what the real model's costs. The output head is heavy-tailed, so that a few
tokens hold most of the probability, as they do in trained models.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from edge_llm.prompt.chat_template import CHATML

_Q4_0_BLOCK = 18  # bytes for 32 weights: one f16 scale, 16 bytes of nibbles
_Q8_0_BLOCK = 34  # bytes for 32 weights: one f16 scale, 32 bytes


Storage: TypeAlias = Literal[
    "Q4_0", "Q8_0", "F16", "Q4_K", "Q5_K", "Q6_K", "Q3_K", "Q2_K", "Q5_0", "IQ4_NL", "IQ4_XS"
]
"""How the layers are stored; embedding and head are Q8_0 in any case."""


class _Block(NamedTuple):
    """Weights that are stored together."""

    num_weights: int
    num_bytes: int
    scales: tuple[int, ...]
    """Where scales and minima lie, in F16; all else in the block may be anything."""
    spread: float
    """Roughly the standard deviation of what random bytes mean, in scales."""


_BLOCKS: dict[str, _Block] = {
    "Q4_K": _Block(256, 144, (0, 2), 300.0),
    "Q5_K": _Block(256, 176, (0, 2), 600.0),
    "Q6_K": _Block(256, 210, (208,), 1400.0),
    "Q3_K": _Block(256, 110, (108,), 45.0),
    "Q2_K": _Block(256, 84, (80, 82), 15.0),
    "Q5_0": _Block(32, 22, (0,), 9.2),
    "IQ4_NL": _Block(32, 18, (0,), 70.0),
    "IQ4_XS": _Block(256, 136, (0,), 1300.0),
}
"""Source: ggml-common.h, ggml 0.25.3."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder's sizes."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocab: int
    context: int = 4096
    tied: bool = False
    """The embedding is the output head too."""
    architecture: Literal["qwen2", "llama"] = "qwen2"
    num_experts: int = 0
    """Feed-forward networks in each layer, of which a token uses `experts_used`; 0 is one."""
    experts_used: int = 0


SMOLLM2_135M = Shape(30, 576, 9, 3, 1536, 49_152, tied=True, architecture="llama")
"""Source: https://huggingface.co/HuggingFaceTB/SmolLM2-135M/blob/main/config.json"""

SMOLLM2_360M = Shape(32, 960, 15, 5, 2560, 49_152, tied=True, architecture="llama")
"""Source: https://huggingface.co/HuggingFaceTB/SmolLM2-360M/blob/main/config.json"""

SMALL_MOE = Shape(
    *(12, 1024, 16, 4, 768, 49_152), architecture="llama", num_experts=32, experts_used=4
)
"""In nobody's shape: small enough to make, and most of its weights unused by a token."""

QWEN2_0_5B = Shape(24, 896, 14, 2, 4864, 151_936)
"""Source: https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct/blob/main/config.json"""

QWEN2_TINY = Shape(2, 64, 2, 1, 128, 151_936)
"""In nobody's shape but for its vocabulary, for what depends on that alone."""

LLAMA_3_2_1B = Shape(16, 2048, 32, 8, 8192, 128_256, architecture="llama")
"""Untied, so that the head can have a heavy tail of its own.

Source: https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/config.json
"""


def cache_file(name: str) -> Path:
    """Where a model that is made once is kept; its folder exists."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "edge-llm" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.gguf"


def cached_model(
    name: str,
    shape: Shape,
    seed: int = 0,
    storage: Storage = "Q4_0",
    *,
    vocabulary: Path | None = None,
) -> Path:
    """The file of a random model, written on first use into the user's cache.

    With `vocabulary`, a GGUF file, it has that file's tokens, and `name` should say so.
    """
    path = cache_file(f"{name}-{seed}")
    if not path.exists():
        partial = path.with_suffix(".partial")
        write_model(partial, shape, seed, storage, vocabulary)
        partial.rename(path)
    return path


def write_model(
    path: Path,
    shape: Shape,
    seed: int,
    storage: Storage = "Q4_0",
    vocabulary: Path | None = None,
) -> None:
    """Write a model with layers of `storage`, embedding and head of Q8_0."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_name("random")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    if shape.num_experts:
        writer.add_expert_count(shape.num_experts)
        writer.add_expert_used_count(shape.experts_used)
    writer.add_chat_template(CHATML)
    if vocabulary is None:
        _add_vocabulary(writer, shape.vocab)
    else:
        _copy_vocabulary(writer, vocabulary, shape.vocab)
    _add_weights(writer, shape, rng, storage)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    special = ["<|im_start|>", "<|im_end|>"]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    words = [f"w{index:06d}" for index in range(size - len(letters) - len(special))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*letters, *words, *special])
    writer.add_token_types([1] * (size - 2) + [3, 3])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(size - 1)
    writer.add_add_bos_token(False)


def _copy_vocabulary(writer: gguf.GGUFWriter, source: Path, size: int) -> None:
    """Tokens and merges of a byte-level vocabulary; turns end as the chat template ends them."""
    fields = gguf.GGUFReader(source).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    if len(tokens) != size:
        raise ValueError(f"{source.name} has {len(tokens)} tokens, not {size}")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(fields["tokenizer.ggml.pre"].contents())
    writer.add_token_list(tokens)
    writer.add_token_types(fields["tokenizer.ggml.token_type"].contents())
    writer.add_token_merges(fields["tokenizer.ggml.merges"].contents())
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)


def _add_weights(
    writer: gguf.GGUFWriter, shape: Shape, rng: np.random.Generator, storage: Storage
) -> None:
    head_dim = shape.width // shape.heads
    kv_width = shape.kv_heads * head_dim
    _add(writer, "token_embd.weight", _q8_0(rng, shape.vocab, shape.width, 1 / 74), Kind.Q8_0)
    if not shape.tied:
        _add(writer, "output.weight", _heavy_tailed_head(rng, shape), Kind.Q8_0)
    writer.add_tensor("output_norm.weight", np.ones(shape.width, np.float32))
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        matrices = {
            "attn_q": (shape.width, shape.width),
            "attn_k": (kv_width, shape.width),
            "attn_v": (kv_width, shape.width),
            "attn_output": (shape.width, shape.width),
        }
        for name, (rows, columns) in matrices.items():
            _add(writer, f"{prefix}{name}.weight", *_layer(rng, rows, columns, storage))
        _add_feed_forward(writer, prefix, shape, rng, storage)
        if shape.architecture == "qwen2":
            for name in ("attn_q", "attn_k", "attn_v"):
                bias = np.zeros(matrices[name][0], np.float32)
                writer.add_tensor(f"{prefix}{name}.bias", bias)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{prefix}{name}.weight", np.ones(shape.width, np.float32))


def _add_feed_forward(
    writer: gguf.GGUFWriter,
    prefix: str,
    shape: Shape,
    rng: np.random.Generator,
    storage: Storage,
) -> None:
    up, down = (shape.feed_forward, shape.width), (shape.width, shape.feed_forward)
    experts = shape.num_experts
    for name, (rows, columns) in {"ffn_gate": up, "ffn_up": up, "ffn_down": down}.items():
        data, kind = _layer(rng, rows * max(1, experts), columns, storage)
        if experts:
            name, data = f"{name}_exps", data.reshape(experts, rows, -1)
        _add(writer, f"{prefix}{name}.weight", data, kind)
    if experts:
        router = rng.standard_normal((experts, shape.width), np.float32)
        writer.add_tensor(f"{prefix}ffn_gate_inp.weight", router)


def _add(writer: gguf.GGUFWriter, name: str, data: NDArray[np.uint8], kind: Kind) -> None:
    writer.add_tensor(name, data, raw_dtype=kind)


def _blocks(
    rng: np.random.Generator, rows: int, columns: int, block_bytes: int, scales: NDArray[np.float16]
) -> NDArray[np.uint8]:
    """Random quantised rows with the given scale for each row: (rows, bytes per row)."""
    num_blocks = columns // 32
    data = rng.integers(0, 256, (rows, num_blocks, block_bytes), np.uint8)
    data[:, :, :2] = scales.reshape(rows, 1).view(np.uint8).reshape(rows, 1, 2)
    return data.reshape(rows, num_blocks * block_bytes)


def _layer(
    rng: np.random.Generator, rows: int, columns: int, storage: Storage
) -> tuple[NDArray[np.uint8], Kind]:
    if storage == "Q4_0":
        return _q4_0(rng, rows, columns), Kind.Q4_0
    if storage == "Q8_0":
        return _q8_0(rng, rows, columns, 1 / (74 * np.sqrt(columns))), Kind.Q8_0
    if storage == "F16":
        weights = rng.standard_normal((rows, columns), np.float32) / np.sqrt(columns)
        return weights.astype(np.float16).view(np.uint8), Kind.F16
    return _any_block(rng, rows, columns, _BLOCKS[storage]), Kind[storage]


def _any_block(
    rng: np.random.Generator, rows: int, columns: int, block: _Block
) -> NDArray[np.uint8]:
    """Random blocks of any type, scaled so that nothing overflows: (rows, bytes per row)."""
    num_blocks = rows * columns // block.num_weights
    data = rng.integers(0, 256, (num_blocks, block.num_bytes), np.uint8)
    scale = np.array([1 / (block.spread * np.sqrt(columns))], np.float16).view(np.uint8)
    for offset in block.scales:
        data[:, offset : offset + 2] = scale
    return data.reshape(rows, -1)


def _q4_0(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint8]:
    # Nibbles are -8..7, standard deviation 4.6: this keeps activations near 1. Their mean is not
    # 0, so half of the rows change sign.
    signs = rng.choice([-1.0, 1.0], rows)
    scale = (signs / (4.6 * np.sqrt(columns))).astype(np.float16)
    return _blocks(rng, rows, columns, _Q4_0_BLOCK, scale)


def _q8_0(rng: np.random.Generator, rows: int, columns: int, scale: float) -> NDArray[np.uint8]:
    return _blocks(rng, rows, columns, _Q8_0_BLOCK, np.full(rows, scale, np.float16))


def _heavy_tailed_head(rng: np.random.Generator, shape: Shape) -> NDArray[np.uint8]:
    # A few thousand words in use over a flat rest: the top token gets 0.2 to 0.9 of the
    # probability, and tens of tokens hold 0.9 of it. Bytes have a standard deviation of 74.
    spread = np.full(shape.vocab, 0.3)
    spread[rng.choice(shape.vocab, 2000, replace=False)] = 4.5
    scales = (spread / (74 * np.sqrt(shape.width))).astype(np.float16)
    return _blocks(rng, shape.vocab, shape.width, _Q8_0_BLOCK, scales)
