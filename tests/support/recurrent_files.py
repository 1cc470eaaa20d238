"""Tiny GGUF models whose state is not, or not only, a KV cache: Mamba, Jamba and LFM2.

`mamba` keeps one state of fixed size for each sequence; `jamba` and `lfm2` have such layers and
attention layers in turn. None of them can be rolled back to an earlier token.

Source of names and shapes: llama.cpp 0.5.0 (commit 0c1e57098), src/models/{mamba,jamba,lfm2}.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tests.support.gguf_files import (
    ARRAY,
    BOOL,
    F32,
    STRING,
    U32,
    Key,
    Tensor,
    TinySpec,
    bpe_vocabulary,
    build_gguf,
    vocab_size,
)

RecurrentArch: TypeAlias = Literal["mamba", "jamba", "lfm2"]

WIDTH, INNER, HEADS, KV_HEADS, FEED_FORWARD = 32, 64, 4, 2, 64
CONV, STATE, RANK = 4, 16, 2
"""Tokens that the convolution sees, numbers a channel remembers, rank of the time step."""


def write_recurrent_model(
    path: Path, arch: RecurrentArch, *, context: int = 512, seed: int = 0
) -> Path:
    """Write a model of four layers that only ever says `a` to `z`; returns its path."""
    kv_heads = [0] * 4 if arch == "mamba" else [0, KV_HEADS, 0, KV_HEADS]
    tensors = list(_tensors(arch, kv_heads, np.random.default_rng(seed)))
    path.write_bytes(build_gguf(_metadata(arch, kv_heads, context), tensors))
    return path


def _metadata(arch: RecurrentArch, kv_heads: list[int], context: int) -> list[Key]:
    keys = [
        Key("general.architecture", STRING, arch),
        Key("general.type", STRING, "model"),
        Key("general.name", STRING, f"Tiny {arch}"),
        Key(f"{arch}.context_length", U32, context),
        Key(f"{arch}.embedding_length", U32, WIDTH),
        Key(f"{arch}.block_count", U32, len(kv_heads)),
        Key(f"{arch}.feed_forward_length", U32, 0 if arch == "mamba" else FEED_FORWARD),
        Key(f"{arch}.attention.head_count", U32, 0 if arch == "mamba" else HEADS),
        Key(f"{arch}.attention.layer_norm_rms_epsilon", F32, 1e-5),
    ]
    if arch != "mamba":
        keys.append(Key(f"{arch}.attention.head_count_kv", ARRAY, kv_heads))
    if arch == "lfm2":
        keys += [
            Key(f"{arch}.shortconv.l_cache", U32, CONV),
            Key(f"{arch}.rope.freq_base", F32, 10000.0),
        ]
    else:
        sizes = {"conv_kernel": CONV, "inner_size": INNER, "state_size": STATE}
        sizes["time_step_rank"] = RANK
        keys += [Key(f"{arch}.ssm.{name}", U32, size) for name, size in sizes.items()]
        keys.append(Key(f"{arch}.ssm.dt_b_c_rms", BOOL, False))
    return keys + bpe_vocabulary(TinySpec())


def _tensors(
    arch: RecurrentArch, kv_heads: list[int], rng: np.random.Generator
) -> Iterator[Tensor]:
    tokens = vocab_size(TinySpec())
    yield _random(rng, "token_embd.weight", WIDTH, tokens, scale=1.0)
    yield _ones("token_embd_norm.weight" if arch == "lfm2" else "output_norm.weight", WIDTH)
    head = np.zeros((tokens, WIDTH), np.float32)
    head[ord("a") : ord("z") + 1] = rng.standard_normal((26, WIDTH))
    yield _tensor("output.weight", head)
    for layer, number in enumerate(kv_heads):
        block = f"blk.{layer}"
        yield _ones(f"{block}.attn_norm.weight", WIDTH)
        if number:
            yield from _attention(arch, block, rng)
        elif arch == "lfm2":
            yield from _short_convolution(block, rng)
        else:
            yield from _state_space(arch, block, rng)
        if arch != "mamba":
            yield _ones(f"{block}.ffn_norm.weight", WIDTH)
            yield _random(rng, f"{block}.ffn_gate.weight", WIDTH, FEED_FORWARD)
            yield _random(rng, f"{block}.ffn_up.weight", WIDTH, FEED_FORWARD)
            yield _random(rng, f"{block}.ffn_down.weight", FEED_FORWARD, WIDTH)


def _attention(arch: RecurrentArch, block: str, rng: np.random.Generator) -> Iterator[Tensor]:
    length = WIDTH // HEADS
    yield _random(rng, f"{block}.attn_q.weight", WIDTH, WIDTH)
    yield _random(rng, f"{block}.attn_k.weight", WIDTH, length * KV_HEADS)
    yield _random(rng, f"{block}.attn_v.weight", WIDTH, length * KV_HEADS)
    yield _random(rng, f"{block}.attn_output.weight", WIDTH, WIDTH)
    if arch == "lfm2":
        yield _ones(f"{block}.attn_q_norm.weight", length)
        yield _ones(f"{block}.attn_k_norm.weight", length)


def _short_convolution(block: str, rng: np.random.Generator) -> Iterator[Tensor]:
    yield _random(rng, f"{block}.shortconv.conv.weight", CONV, WIDTH)
    yield _random(rng, f"{block}.shortconv.in_proj.weight", WIDTH, 3 * WIDTH)
    yield _random(rng, f"{block}.shortconv.out_proj.weight", WIDTH, WIDTH)


def _state_space(arch: RecurrentArch, block: str, rng: np.random.Generator) -> Iterator[Tensor]:
    yield _random(rng, f"{block}.ssm_in.weight", WIDTH, 2 * INNER)
    yield _random(rng, f"{block}.ssm_conv1d.weight", CONV, INNER)
    yield _random(rng, f"{block}.ssm_conv1d.bias", INNER)
    yield _random(rng, f"{block}.ssm_x.weight", INNER, RANK + 2 * STATE)
    yield _random(rng, f"{block}.ssm_dt.weight", RANK, INNER)
    # The time step is small, so the state remembers hundreds of tokens.
    yield _tensor(f"{block}.ssm_dt.bias", np.full(INNER, -5.0))
    yield _tensor(f"{block}.ssm_a", np.tile(-np.arange(1.0, STATE + 1), (INNER, 1)))
    yield _ones(f"{block}.ssm_d", INNER)
    yield _random(rng, f"{block}.ssm_out.weight", INNER, WIDTH)
    if arch == "jamba":
        yield _ones(f"{block}.ssm_dt_norm.weight", RANK)
        yield _ones(f"{block}.ssm_b_norm.weight", STATE)
        yield _ones(f"{block}.ssm_c_norm.weight", STATE)


def _random(rng: np.random.Generator, name: str, *shape: int, scale: float = 0.3) -> Tensor:
    return _tensor(name, rng.standard_normal(shape[::-1]) * scale)


def _ones(name: str, length: int) -> Tensor:
    return _tensor(name, np.ones(length))


def _tensor(name: str, values: NDArray[np.floating]) -> Tensor:
    """A tensor of F32 whose first dimension is the last axis, as GGUF counts."""
    return Tensor(name, values.shape[::-1], "F32", values.astype("<f4").tobytes())
