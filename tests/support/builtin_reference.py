"""The architecture of the built-in model in NumPy, in float64, over tensors of its GGUF file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

NUM_HEADS = 6
NORM_EPS = 1e-5
ROPE_THETA = 10_000.0


def reference_logits(weights: Mapping[str, NDArray[np.float32]], ids: Sequence[int]) -> Array:
    """Logits after each of `ids`: (tokens, vocabulary)."""
    wide = {name: values.astype(np.float64) for name, values in weights.items()}
    table = wide["token_embd.weight"]
    hidden = table[list(ids)]
    for layer in range(sum(name.endswith("attn_norm.weight") for name in wide)):
        part = {
            name.split(".")[2]: values
            for name, values in wide.items()
            if name.startswith(f"blk.{layer}.")
        }
        hidden = hidden + _attention(part, _norm(hidden, part["attn_norm"]))
        normed = _norm(hidden, part["ffn_norm"])
        gate = normed @ part["ffn_gate"].T
        active = gate / (1 + np.exp(-gate)) * (normed @ part["ffn_up"].T)
        hidden = hidden + active @ part["ffn_down"].T
    logits: Array = _norm(hidden, wide["output_norm.weight"]) @ table.T
    return logits


def _norm(values: Array, weight: Array) -> Array:
    scale = np.sqrt((values**2).mean(axis=-1, keepdims=True) + NORM_EPS)
    normed: Array = values / scale * weight
    return normed


def _attention(part: Mapping[str, Array], normed: Array) -> Array:
    query, key, value = (_heads(normed @ part[f"attn_{name}"].T) for name in "qkv")
    query, key = _rotated(query), _rotated(key)
    scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
    length = len(normed)
    scores[:, np.triu(np.ones((length, length), bool), 1)] = -np.inf
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = shares / shares.sum(axis=-1, keepdims=True) @ value
    joined: Array = mixed.swapaxes(0, 1).reshape(length, -1) @ part["attn_output"].T
    return joined


def _heads(values: Array) -> Array:
    """(tokens, width) as (heads, tokens, head size)."""
    return values.reshape(len(values), NUM_HEADS, -1).swapaxes(0, 1)


def _rotated(values: Array) -> Array:
    """Neighbouring pairs turned by their position, as complex numbers."""
    size = values.shape[-1]
    frequencies = ROPE_THETA ** -(np.arange(0, size, 2) / size)
    turns = np.exp(1j * np.outer(np.arange(values.shape[1]), frequencies))
    pairs = (values[..., 0::2] + 1j * values[..., 1::2]) * turns
    return np.stack([pairs.real, pairs.imag], axis=-1).reshape(values.shape)
