"""GGUF files in the shape of real models with random weights: right for speed, wrong for answers.

The forward pass costs what the real model's costs. The output head is heavy-tailed, so that a few
tokens hold most of the probability, as they do in trained models.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

from edge_llm.prompt.chat_template import CHATML

_Q4_0_BLOCK = 18  # bytes for 32 weights: one f16 scale, 16 bytes of nibbles
_Q8_0_BLOCK = 34  # bytes for 32 weights: one f16 scale, 32 bytes


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


QWEN2_0_5B = Shape(24, 896, 14, 2, 4864, 151_936)
"""Source: https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct/blob/main/config.json"""

LLAMA3_1B = Shape(16, 2048, 32, 8, 8192, 128_256, tied=True)
"""Source: https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/config.json"""


def cached_model(name: str, shape: Shape, seed: int = 0) -> Path:
    """The file of a random model, written on first use into the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(base) / "edge-llm" / "benchmarks" / f"{name}-{seed}.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        write_model(partial, shape, seed)
        partial.rename(path)
    return path


def write_model(path: Path, shape: Shape, seed: int) -> None:
    """Write a Qwen2-style model with Q4_0 layers and Q8_0 embedding and head."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("random")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_chat_template(CHATML)
    _add_vocabulary(writer, shape.vocab)
    _add_weights(writer, shape, rng)
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


def _add_weights(writer: gguf.GGUFWriter, shape: Shape, rng: np.random.Generator) -> None:
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
            "ffn_gate": (shape.feed_forward, shape.width),
            "ffn_up": (shape.feed_forward, shape.width),
            "ffn_down": (shape.width, shape.feed_forward),
        }
        for name, (rows, columns) in matrices.items():
            _add(writer, f"{prefix}{name}.weight", _q4_0(rng, rows, columns), Kind.Q4_0)
        for name, size in {"attn_q": shape.width, "attn_k": kv_width, "attn_v": kv_width}.items():
            writer.add_tensor(f"{prefix}{name}.bias", np.zeros(size, np.float32))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{prefix}{name}.weight", np.ones(shape.width, np.float32))


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
