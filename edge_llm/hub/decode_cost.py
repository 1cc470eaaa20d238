"""What writing one token takes of a machine, read from a model's file: bytes, by kind.

Decoding reads every weight once a token, and the keys and values of every token before it. Of a
mixture of experts it reads those that the token is sent to; of an embedding one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """Bytes that one token reads, of a sequence alone in its step."""

    weights: Mapping[str, int]
    """By storage type, under ggml's names or those of an ONNX file (`int4`)."""
    kv_bytes: int = 0
    """Of keys and values, for each token of context in layers that look at all of it."""
    window_bytes: int = 0
    """The same, for each token within `window`, in layers that look no further."""
    window: int = 0
    heads_per_kv_head: float = 1.0
    """How often keys and values are used once they are read: query heads that share them."""
    state_bytes: int = 0
    """Recurrent states, read and written."""
    num_layers: int = 0
    kernel_share: float = 1.0
    """How fast the library multiplies weights, to ggml with the same number of bits."""

    def kv_at(self, context: int) -> int:
        """Bytes of keys and values with `context` tokens before the new one."""
        return self.kv_bytes * context + self.window_bytes * min(context, self.window)

    @property
    def weight_bytes(self) -> int:
        """All weights that a token reads."""
        return sum(self.weights.values())


def cost_of_size(weight_bytes: int, quantization: str = "") -> DecodeCost:
    """The cost of a model of which only the size is known: a little too high, without context.

    For a model that has not been downloaded and whose header has not been read.
    """
    return DecodeCost(MappingProxyType({quantization: weight_bytes}))
