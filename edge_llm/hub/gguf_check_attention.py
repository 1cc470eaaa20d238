"""Refuses attention whose heads, rotary dimensions and matrices do not fit each other.

Reshapes and rotary embeddings in llama.cpp's graphs assert what is checked here.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_llm.errors import UnsupportedModelError, did_you_mean
from edge_llm.hub import gguf_architectures as known
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_hyperparameters import layers_of, num_layers
from edge_llm.hub.gguf_types import GGUFArray, ValueType

MAX_HEADS = 1 << 14


def check_attention(file: GGUFFile) -> None:
    """Return when the graphs of the architecture can be built.

    Raises:
        UnsupportedModelError: a rotary scaling that llama.cpp does not have.
        ModelFormatError: sizes that contradict each other.
    """
    _check_heads(file)
    _check_rope(file)
    _check_sliding_window(file)


def _check_sliding_window(file: GGUFFile) -> None:
    """A window that no layer has is asserted against (`GGML_ASSERT(hparams.is_swa_any())`)."""
    arch = file.architecture
    if not file.integer(f"{arch}.attention.sliding_window"):
        return
    key = f"{arch}.attention.sliding_window_pattern"
    pattern = file.metadata.get(key)
    slides = num_layers(file) > 1 and pattern != 1
    if isinstance(pattern, GGUFArray):
        slides = any(pattern.numbers()[: num_layers(file)])
    if not slides:
        raise file.error(f"{arch}.attention.sliding_window is set, but by {key} no layer has it")


def _check_heads(file: GGUFFile) -> None:
    arch = file.architecture
    heads = layers_of(file, "attention.head_count", MAX_HEADS)
    kv_heads = layers_of(file, "attention.head_count_kv", MAX_HEADS) or heads
    if arch in known.RECURRENT:
        return
    if not any(heads):
        raise file.error(f"{arch}.attention.head_count is missing or 0")
    _check_grouping(file, heads, kv_heads)
    key, value, rotary = _head_lengths(file, heads[0])
    if heads[0] and not (key and value):
        raise file.error(f"{arch}.attention.head_count is {heads[0]}: too many for the width")
    if arch in known.EQUAL_HEADS and key != value:
        raise file.error(f"{arch} needs keys as long as values, not {key} and {value}")
    if arch in known.ROTATES_WHOLE_HEAD and rotary != value:
        raise file.error(f"{arch} rotates whole heads of {value}, not {rotary} dimensions of them")
    if arch in known.PLAIN_ATTENTION and f"{arch}.attention.key_length_swa" not in file.metadata:
        for layer in range(len(heads)):
            sizes = _Sizes(key * heads[layer], key * kv_heads[layer], value * kv_heads[layer])
            _check_matrices(file, layer, sizes)


def _check_grouping(file: GGUFFile, heads: tuple[int, ...], kv_heads: tuple[int, ...]) -> None:
    arch = file.architecture
    for layer, (number, kv) in enumerate(zip(heads, kv_heads, strict=True)):
        if not (number and kv) and arch not in known.LAYERS_WITHOUT_ATTENTION:
            raise file.error(f"layer {layer} has {number} heads for {kv} keys: {arch} needs some")
        if kv and number % kv:
            raise file.error(
                f"{arch}.attention.head_count_kv of layer {layer} is {kv}, which does not divide"
                f" the {number} heads"
            )


class _Sizes(NamedTuple):
    """Numbers that attention makes of one token in a layer."""

    query: int
    key: int
    value: int


def _check_matrices(file: GGUFFile, layer: int, sizes: _Sizes) -> None:
    """The matrices give what the heads take; llama.cpp checks some of them against the width."""
    outputs = {
        "attn_q": sizes.query,
        "attn_k": sizes.key,
        "attn_v": sizes.value,
        "attn_qkv": sum(sizes),
    }
    for name, expected in outputs.items():
        info = file.tensors.get(f"blk.{layer}.{name}.weight")
        if info is not None and info.shape[1:] != (expected,):
            raise file.error(
                f"tensor {info.name!r} is {list(info.shape)}; the heads need {expected} outputs"
            )


def _head_lengths(file: GGUFFile, heads: int) -> tuple[int, int, int]:
    """Lengths of a key, of a value and of the rotary part; 0 without heads in the first layer."""
    if not heads:
        return 0, 0, 0
    arch = file.architecture
    default = (file.integer(f"{arch}.embedding_length") or 0) // heads
    key = file.integer(f"{arch}.attention.key_length") or default
    value = file.integer(f"{arch}.attention.value_length") or default
    return key, value, file.integer(f"{arch}.rope.dimension_count") or key


def _check_rope(file: GGUFFile) -> None:
    arch = file.architecture
    scaling = file.string(f"{arch}.rope.scaling.type")
    if scaling is not None and scaling not in known.ROPE_SCALING_TYPES:
        raise UnsupportedModelError(
            f"{str(file.path)!r}: {arch}.rope.scaling.type is {scaling!r}",
            hint=did_you_mean(scaling, known.ROPE_SCALING_TYPES),
        )
    if arch in known.WITHOUT_ROPE:
        return
    heads = layers_of(file, "attention.head_count", MAX_HEADS)
    key, _, rotary = _head_lengths(file, heads[0])
    key_swa = file.integer(f"{arch}.attention.key_length_swa") or key
    rotary_swa = file.integer(f"{arch}.rope.dimension_count_swa") or rotary
    for dims, length in ((rotary, key), (rotary_swa, key_swa)):
        if dims % 2 or dims > length:
            raise file.error(f"{arch} rotates {dims} dimensions of keys of length {length}")
    _check_rope_sections(file, key)


def _check_rope_sections(file: GGUFFile, key_length: int) -> None:
    arch = file.architecture
    key = f"{arch}.rope.dimension_sections"
    array = file.array(key, ValueType.UINT32, ValueType.INT32)
    if array is None:
        if arch in known.ROPE_SECTIONS:
            raise file.error(f"{key} is missing")
        return
    sections = [int(number) for number in array.numbers()]
    wrong = len(sections) > 4 or min(sections, default=0) < 0 or sum(sections) > key_length
    if wrong or (arch in known.ROPE_SECTIONS and not any(sections[:3])):
        raise file.error(f"{key} is {sections[:8]} for keys of length {key_length}")
