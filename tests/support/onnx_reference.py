"""The decoder of `onnx_files` in NumPy, in float64: what its logits ought to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.onnx_files import EPSILON, TinyOnnx, Weights, rotations

Array = NDArray[np.float64]


def reference_logits(spec: TinyOnnx, weights: Weights, token_ids: Sequence[int]) -> Array:
    """Logits after each token: (tokens, vocab)."""
    wide: dict[str, Array] = {name: values.astype(np.float64) for name, values in weights.items()}
    hidden = wide["embedding"][list(token_ids)]
    for layer in range(spec.layers):
        part = {k.partition(".")[2]: v for k, v in wide.items() if k.startswith(f"{layer}.")}
        hidden = hidden + _attention(spec, part, _norm(hidden, part["attention_norm"]))
        normed = _norm(hidden, part["feed_forward_norm"])
        gate = normed @ part["gate"]
        hidden = hidden + (gate / (1 + np.exp(-gate)) * (normed @ part["up"])) @ part["down"]
    return _norm(hidden, wide["norm"]) @ wide["head"]


def _norm(values: Array, weight: Array) -> Array:
    normed: Array = values / np.sqrt((values**2).mean(axis=-1, keepdims=True) + EPSILON) * weight
    return normed


def _attention(spec: TinyOnnx, part: dict[str, Array], normed: Array) -> Array:
    length = len(normed)
    query = _rotated(spec, _heads(normed @ part["query"], spec.heads))
    key = _rotated(spec, _heads(normed @ part["key"], spec.kv_heads))
    value = _heads(normed @ part["value"], spec.kv_heads)
    future = np.triu(np.ones((length, length), bool), 1)
    group = spec.heads // spec.kv_heads
    mixed = []
    for head in range(spec.heads):
        scores = query[head] @ key[head // group].T / np.sqrt(spec.head_size)
        scores[future] = -np.inf
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed.append(shares / shares.sum(axis=-1, keepdims=True) @ value[head // group])
    return np.concatenate(mixed, axis=-1) @ part["output"]


def _heads(values: Array, count: int) -> Array:
    return values.reshape(len(values), count, -1).swapaxes(0, 1)


def _rotated(spec: TinyOnnx, values: Array) -> Array:
    tables: Any = rotations(spec)
    cosines, sines = (table[: values.shape[1]].astype(np.float64) for table in tables)
    first, second = np.split(values, 2, axis=-1)
    return np.concatenate(
        [first * cosines - second * sines, second * cosines + first * sines], axis=-1
    )
