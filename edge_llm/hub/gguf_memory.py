"""What a model will take of memory, from its file alone, before anything is loaded.

The state of a sequence depends on the kind of each layer: attention keeps keys and values of every
token, a recurrent layer a state of fixed size. Sliding windows save nothing, because the prefix
cache needs what has slid out (llama.cpp's `swa_full`).

Source: llama.cpp 0.5.0 (commit 0c1e57098): llama-hparams.cpp (`n_embd_k_gqa`, `n_embd_r`,
`n_embd_s`, `has_kv`), llama-model.cpp (`create_memory`), src/models/*.cpp (`is_recr_impl`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_llm.config import KVCacheType
from edge_llm.hub.gguf_architectures import LAYERS_WITHOUT_ATTENTION, RECURRENT
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_info import per_layer
from edge_llm.hub.gguf_types import GGUFArray, GGUFValue
from edge_llm.hub.memory_estimate import MemoryEstimate

CONTEXT_PADDING = 256
"""Source: llama-context.cpp, `n_ctx = GGML_PAD(n_ctx, 256)`."""

KV_BLOCKS: dict[str, tuple[int, int]] = {"f16": (1, 2), "q8_0": (32, 34)}
"""Numbers that are stored together, and the bytes they take."""

BASE_BYTES = 8 << 20
"""Graph, batch, threads and the library's own tables."""
BYTES_PER_TOKEN_TEXT = 150
BYTES_PER_MERGE = 130
"""Strings, attributes and entries of hash maps. Fitted to vocabularies of 32k to 262k tokens with
none to 515k merges (Llama 2 and 3, GPT-2, Qwen 2, DeepSeek, Gemma 4): within 15 %."""

_ALTERNATES = frozenset(("qwen3next", "qwen35", "qwen35moe", "qwen4exp", "minimax-01"))
"""Recurrent layers by an interval instead of by head counts of 0."""


@dataclass(frozen=True, slots=True)
class ContextShape:
    """The settings of a context that decide what it takes."""

    context_size: int
    """Tokens that all sequences can hold together."""
    num_seq_ids: int = 1
    """Sequences that run, and cached prefixes."""
    max_outputs: int = 1
    """Rows of logits in one step."""
    max_batched_tokens: int = 512
    kv_cache_type: KVCacheType = "f16"

    @property
    def num_cells(self) -> int:
        """Tokens that the KV cache has room for."""
        return -(-self.context_size // CONTEXT_PADDING) * CONTEXT_PADDING

    @property
    def num_rows(self) -> int:
        """Tokens in the largest batch."""
        return min(self.max_batched_tokens, self.num_cells)


def estimate_memory(file: GGUFFile, shape: ContextShape) -> MemoryEstimate:
    """What the model of `file` takes with a context of this shape, in bytes.

    Compared with what a process grows by: `benchmarks/bench_memory.py`.
    """
    rows_of_logits = 4 * file.info.vocab_size * shape.num_seq_ids
    return MemoryEstimate(
        weights=file.info.weight_bytes,
        kv_cache=attention_bytes(file, shape) + recurrent_bytes(file, shape),
        compute=activation_bytes(file, shape, shape.max_outputs) + rows_of_logits,
        overhead=_overhead_bytes(file),
    )


def largest_context(file: GGUFFile, shape: ContextShape, free_bytes: int) -> int:
    """Tokens, a multiple of 256 up to `shape.context_size`, that fit in `free_bytes`; else 0."""
    low, high = 0, shape.context_size // CONTEXT_PADDING
    while low < high:  # the largest number of paddings that fits
        middle = (low + high + 1) // 2
        trial = replace(shape, context_size=middle * CONTEXT_PADDING)
        if estimate_memory(file, trial).total <= free_bytes:
            low = middle
        else:
            high = middle - 1
    return low * CONTEXT_PADDING


def attention_bytes(file: GGUFFile, shape: ContextShape) -> int:
    """Keys and values of every cell, in every layer that has attention."""
    return sum(layer_bytes(file, shape, layer) for layer in range(file.info.num_layers))


def layer_bytes(file: GGUFFile, shape: ContextShape, layer: int) -> int:
    """The same of one layer."""
    block, block_bytes = KV_BLOCKS[shape.kv_cache_type]
    of_a_cell = sum(-(-numbers // block) * block_bytes for numbers in _kv_numbers(file, layer))
    return shape.num_cells * of_a_cell * max(1, _integer(file, "num_loops"))


def recurrent_bytes(file: GGUFFile, shape: ContextShape) -> int:
    """States of fixed size, in F32: one for every sequence id, in every recurrent layer."""
    layers = sum(_is_recurrent(file, layer) for layer in range(file.info.num_layers))
    return 4 * layers * sum(_state_numbers(file)) * shape.num_seq_ids if layers else 0


def activation_bytes(file: GGUFFile, shape: ContextShape, num_outputs: int) -> int:
    """The part of the compute buffer that a batch with `num_outputs` rows of logits uses.

    llama.cpp reserves addresses for logits of every row; those that never ask stay untouched. The
    larger of two moments: the logits beside two rows of the residual stream, in F32; and a layer,
    with its activations in F32 and the attention mask in F16, of which a sliding window needs a
    second one.
    """
    width = file.info.embedding_length
    head = 4 * (num_outputs * file.info.vocab_size + 2 * shape.num_rows * width)
    masks = 2 if _integer(file, "attention.sliding_window") else 1
    layer = 4 * (4 * width + _feed_forward_numbers(file)) + 2 * masks * shape.num_cells
    return max(head, shape.num_rows * layer)


def refuses_kv_type(file: GGUFFile, kv_cache_type: str) -> str | None:
    """Why keys or values of this model cannot be stored so, for people; None when they can.

    Source: ggml stores quantised rows in whole blocks; llama-context.cpp checks the same.
    """
    block, _ = KV_BLOCKS[kv_cache_type]
    info = file.info
    lengths = {
        "keys": (info.key_length, _integer(file, "attention.key_length_swa")),
        "values": (info.value_length, _integer(file, "attention.value_length_swa")),
    }
    for name, of_heads in lengths.items():
        for length in of_heads:
            if length % block:
                return f"{name} of {length} numbers do not divide into blocks of {block}"
    return None


def _feed_forward_numbers(file: GGUFFile) -> int:
    """Activations of one token in the widest feed-forward layer."""
    dense = 3 * file.info.feed_forward_length
    used = max(per_layer(_value(file, "expert_used_count"), 1), default=0)
    if not used:
        return dense
    expert = _integer(file, "expert_feed_forward_length") or file.info.feed_forward_length
    # The outputs of all chosen experts are there before they are added up.
    return max(dense, used * (2 * expert + file.info.embedding_length))


def _kv_numbers(file: GGUFFile, layer: int) -> tuple[int, int]:
    """Numbers in the keys and the values of one token in one layer."""
    info = file.info
    if not _has_attention(file, layer):
        return 0, 0
    heads = info.num_kv_heads[layer] if layer < len(info.num_kv_heads) else 0
    key, value = info.key_length, info.value_length
    if _slides(file, layer):
        key = _integer(file, "attention.key_length_swa") or key
        value = _integer(file, "attention.value_length_swa") or value
    # Latent attention keeps one compressed row that keys and values are made of.
    latent = bool(_integer(file, "attention.key_length_mla"))
    return heads * key, 0 if latent else heads * value


def _has_attention(file: GGUFFile, layer: int) -> bool:
    arch = file.info.architecture
    if arch == "gemma3n":
        return layer < 20
    shared = _integer(file, "attention.shared_kv_layers")
    if shared and layer >= file.info.num_layers - shared:
        return False
    return arch == "falcon-h1" or not _is_recurrent(file, layer)


def _is_recurrent(file: GGUFFile, layer: int) -> bool:
    arch = file.info.architecture
    if arch in RECURRENT or arch == "falcon-h1":
        return True
    if arch in _ALTERNATES:
        return _alternates(file, layer)
    if arch == "deci" or arch not in LAYERS_WITHOUT_ATTENTION:
        return False
    kv_heads = file.info.num_kv_heads
    if arch.startswith("nemotron_h"):
        widths = per_layer(_value(file, "feed_forward_length"), file.info.num_layers)
        if layer < len(widths) and widths[layer]:
            return False
    return layer < len(kv_heads) and kv_heads[layer] == 0


def _alternates(file: GGUFFile, layer: int) -> bool:
    listed = _value(file, "attention.recurrent_layers")
    if isinstance(listed, GGUFArray):
        return any(listed.numbers()[layer : layer + 1])
    trunk = file.info.num_layers - _integer(file, "nextn_predict_layers")
    default = 8 if file.info.architecture == "minimax-01" else 4
    interval = _integer(file, "full_attention_interval") or default
    return layer < trunk and (layer + 1) % interval != 0


def _slides(file: GGUFFile, layer: int) -> bool:
    pattern = _value(file, "attention.sliding_window_pattern")
    return isinstance(pattern, GGUFArray) and any(pattern.numbers()[layer : layer + 1])


def _state_numbers(file: GGUFFile) -> tuple[int, int]:
    """Numbers in the convolution and in the state of one recurrent layer."""
    info = file.info
    heads = info.num_heads[0] if info.num_heads else 0
    kernel = max(0, _integer(file, "ssm.conv_kernel") - 1)
    inner, state = _integer(file, "ssm.inner_size"), _integer(file, "ssm.state_size")
    if wkv := _integer(file, "wkv.head_size"):
        shifts = _integer(file, "token_shift_count") or 2
        return shifts * info.embedding_length, wkv * info.embedding_length
    if short := _integer(file, "shortconv.l_cache"):
        return info.embedding_length * (short - 1), 0
    if kda := _integer(file, "kda.head_dim"):
        return 3 * (kernel or 3) * heads * kda, kda * kda * heads
    if info.architecture == "minimax-01":
        return 0, info.key_length**2 * heads
    return kernel * (inner + 2 * _integer(file, "ssm.group_count") * state), state * inner


def _overhead_bytes(file: GGUFFile) -> int:
    merges = file.metadata.get("tokenizer.ggml.merges")
    num_merges = len(merges) if isinstance(merges, GGUFArray) else 0
    return BASE_BYTES + BYTES_PER_TOKEN_TEXT * file.info.vocab_size + BYTES_PER_MERGE * num_merges


def _value(file: GGUFFile, name: str) -> GGUFValue | None:
    return file.metadata.get(f"{file.info.architecture}.{name}")


def _integer(file: GGUFFile, name: str) -> int:
    value = _value(file, name)
    return value if isinstance(value, int) else 0
