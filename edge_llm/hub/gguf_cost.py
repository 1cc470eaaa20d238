"""What writing one token takes, of a GGUF model: from its header alone, also one read remotely."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType

from edge_llm.config import KVCacheType
from edge_llm.hub.decode_cost import DecodeCost
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_info import per_layer
from edge_llm.hub.gguf_memory import (
    CONTEXT_PADDING,
    ContextShape,
    layer_bytes,
    recurrent_bytes,
)
from edge_llm.hub.gguf_types import GGUFArray, TensorInfo

_ROWS_ALONE = ("token_embd.", "per_layer_token_embd.", "position_embd.", "token_types.")
"""Tables of which a token reads one row."""

_WORK: dict[KVCacheType, float] = {"f16": 1.0, "q8_0": 2.0}
"""Work for each byte of keys and values: it is done by number, and a byte holds twice as many."""

_PERIODS = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "cohere2": 4,
    "exaone4": 4,
    "olmo2": 4,
}
"""Every so many layers one looks at the whole context and the others through a window, where the
file does not list them. Source: llama.cpp 0.5.0 (commit 0c1e57098), src/models/*.cpp."""


def gguf_decode_cost(file: GGUFFile, kv_cache_type: KVCacheType = "f16") -> DecodeCost:
    """What a token reads of the model in `file`; sound only after `check_loadable`."""
    one = ContextShape(CONTEXT_PADDING, kv_cache_type=kv_cache_type)
    info = file.info
    weights: Counter[str] = Counter()
    for name, tensor in file.tensors.items():
        weights[tensor.ggml_type.name] += _bytes_read(file, name, tensor)
    heads, kv_heads = sum(info.num_heads), sum(info.num_kv_heads)
    window, slides = _windows(file)
    by_layer = [
        layer_bytes(file, one, layer) // CONTEXT_PADDING for layer in range(info.num_layers)
    ]
    return DecodeCost(
        weights=MappingProxyType({name: size for name, size in weights.items() if size}),
        kv_bytes=sum(size for layer, size in enumerate(by_layer) if layer not in slides),
        window_bytes=sum(size for layer, size in enumerate(by_layer) if layer in slides),
        window=window,
        heads_per_kv_head=_WORK[kv_cache_type] * (heads / kv_heads if kv_heads else 1.0),
        state_bytes=2 * recurrent_bytes(file, one),
        num_layers=info.num_layers,
    )


def _windows(file: GGUFFile) -> tuple[int, frozenset[int]]:
    """The length of the window, and the layers that look through it."""
    arch, layers = file.info.architecture, file.info.num_layers
    window = file.metadata.get(f"{arch}.attention.sliding_window")
    if not isinstance(window, int) or window <= 0:
        return 0, frozenset()
    pattern = file.metadata.get(f"{arch}.attention.sliding_window_pattern")
    if isinstance(pattern, GGUFArray):
        listed = pattern.numbers()[:layers]
        return window, frozenset(layer for layer, slides in enumerate(listed) if slides)
    period = pattern if isinstance(pattern, int) else _PERIODS.get(arch, 1)
    sliding = (layer for layer in range(layers) if layer % max(1, period) < period - 1)
    return window, frozenset(sliding)


def _bytes_read(file: GGUFFile, name: str, tensor: TensorInfo) -> int:
    if name == "token_embd.weight" and "output.weight" not in file.tensors:
        return tensor.num_bytes  # it is the output head as well
    if name.startswith(_ROWS_ALONE):
        return 0
    if "_exps." in name:
        return tensor.num_bytes * _experts_used(file) // max(1, tensor.shape[-1])
    return tensor.num_bytes


def _experts_used(file: GGUFFile) -> int:
    used = file.metadata.get(f"{file.info.architecture}.expert_used_count")
    return max(per_layer(used, 1), default=0)
