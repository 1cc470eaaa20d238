"""Refuses, with a reason, what would make llama.cpp abort, hang or allocate without bound.

llama.cpp answers many bad values with an error of its own, and others by ending the process:
`GGML_ASSERT` and `GGML_ABORT`, an exception that crosses the C interface, a division by zero.
The checks follow its loader (0.5.0, commit 0c1e57098): src/llama-model.cpp `load_hparams`,
src/llama-hparams.cpp, src/models/*.cpp, ggml/src/ggml-cpu/ops.cpp.
"""

from __future__ import annotations

import math

from edge_llm.errors import UnsupportedModelError, did_you_mean
from edge_llm.hub import gguf_architectures as known
from edge_llm.hub.gguf_check_attention import check_attention
from edge_llm.hub.gguf_check_special import check_special
from edge_llm.hub.gguf_check_vocab import check_vocabulary
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_hyperparameters import layers_of, num_layers, require_range
from edge_llm.hub.gguf_info import NUMERIC_TYPES, SAMPLING_KEYS
from edge_llm.hub.gguf_split import check_split
from edge_llm.hub.gguf_types import TensorInfo, ValueType

MAX_CONTEXT_LENGTH = 1 << 27
MAX_WIDTH = 1 << 20
MAX_SLIDING_WINDOW = 1 << 22
"""The size of the cache is this times up to 256 sequences, in 32 bits (llama-kv-cache-iswa.cpp)."""

NEEDED_KEYS = ("context_length", "embedding_length", "block_count")
"""What `load_hparams` reads of every architecture without a default."""

POSITIVE_KEYS = (
    "adapters.count",
    "adapters.lora_rank",
    "attention.indexer.head_count",
    "attention.indexer.key_length",
    "attention.indexer.top_k",
    "attention.key_length",
    "attention.key_length_mla",
    "attention.key_length_swa",
    "attention.kv_lora_rank",
    "attention.output_group_count",
    "attention.value_length",
    "attention.value_length_mla",
    "attention.value_length_swa",
    "experts_per_group",
    "hyper_connection.count",
    "interleave_moe_layer_step",
    "kda.head_dim",
    "rope.dimension_count",
    "rope.dimension_count_swa",
    "shortconv.l_cache",
    "ssm.conv_kernel",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.time_step_rank",
    "token_shift_count",
    "wkv.head_size",
)
"""Sizes that graphs divide by or allocate from: positive where present, and at most `MAX_WIDTH`."""

NOT_WEIGHTS = frozenset(("F64", "I8", "I16", "I32", "I64", "Q8_1", "Q8_K"))
"""Storage types without a matrix product in ggml-cpu (`vec_dot` or `from_float` missing)."""

INDEX_TENSOR = "tid2eid"
"""The one kind of tensor that holds I32: DeepSeek-V4's table from token to expert."""


def check_loadable(file: GGUFFile) -> None:
    """Return when llama.cpp can be given the file.

    Raises:
        UnsupportedModelError: sound, but not a model that this runtime can talk to.
        ModelFormatError: a value is missing, of the wrong type, or contradicts another.
    """
    _check_architecture(file)
    check_split(file)
    _check_sizes(file)
    check_attention(file)
    _check_experts(file)
    check_special(file)
    _check_floats(file)
    check_vocabulary(file)
    _check_tensors(file)


def _check_architecture(file: GGUFFile) -> None:
    kind = file.string("general.type")
    if kind not in (None, "model"):
        raise UnsupportedModelError(
            f"{str(file.path)!r} holds a {kind!r}, not a model", hint="name the model's own file"
        )
    arch = file.architecture
    if arch in known.CANNOT_CHAT:
        raise UnsupportedModelError(
            f"{str(file.path)!r} is of the architecture {arch!r} and cannot chat:"
            f" {known.CANNOT_CHAT[arch]}"
        )
    if arch not in known.GENERATES_TEXT:
        raise UnsupportedModelError(
            f"{str(file.path)!r} is of the architecture {arch!r}, unknown to llama.cpp 0.5.0",
            hint=did_you_mean(arch, known.GENERATES_TEXT),
        )
    if file.metadata.get(f"{arch}.attention.causal") is False:
        raise UnsupportedModelError(
            f"{str(file.path)!r} attends to later tokens as well and cannot chat:"
            f" {arch}.attention.causal is false"
        )


def _check_sizes(file: GGUFFile) -> None:
    arch = file.architecture
    for name in NEEDED_KEYS:
        if file.integer(f"{arch}.{name}") is None:
            raise file.error(f"{arch}.{name} is missing")
    require_range(file, "context_length", 1, MAX_CONTEXT_LENGTH)
    require_range(file, "embedding_length", 1, MAX_WIDTH)
    require_range(file, "block_count", 1, known.MAX_LAYERS)
    require_range(file, "attention.sliding_window", 0, MAX_SLIDING_WINDOW)
    for name in POSITIVE_KEYS:
        require_range(file, name, 1, MAX_WIDTH)
    nextn = file.integer(f"{arch}.nextn_predict_layers") or 0
    if nextn >= num_layers(file):
        raise file.error(f"{arch}.nextn_predict_layers is {nextn} of {num_layers(file)} layers")
    layers_of(file, "feed_forward_length", MAX_WIDTH)
    layers_of(file, "expert_feed_forward_length", MAX_WIDTH)


def _check_experts(file: GGUFFile) -> None:
    arch = file.architecture
    experts = file.integer(f"{arch}.expert_count") or 0
    used = max(layers_of(file, "expert_used_count", known.MAX_EXPERTS), default=0)
    groups = file.integer(f"{arch}.expert_group_count") or 0
    used_groups = file.integer(f"{arch}.expert_group_used_count") or 0
    if experts > known.MAX_EXPERTS:
        raise file.error(f"{arch}.expert_count is {experts}; {known.MAX_EXPERTS} is the most")
    if arch in known.ONE_EXPERT_IS_NONE and experts <= 1:
        experts = used = 0
    if used > experts or (experts and not used):
        raise file.error(f"{arch}.expert_used_count is {used} of {experts} experts")
    if groups and groups >= experts:
        raise file.error(f"{arch}.expert_group_count is {groups} for {experts} experts")
    if groups > 1 and (experts % groups or not 0 < used_groups < groups):
        raise file.error(f"{arch}: {used_groups} of {groups} groups of {experts} experts")


_SAMPLING_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 10.0),
    "top_k": (0, 1 << 24),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 10.0),
    "penalty_window": (-1, 1 << 24),
}


def _check_floats(file: GGUFFile) -> None:
    """Numbers are finite, epsilons not negative, and recommendations usable."""
    for key, kind in file.types.items():
        value = file.metadata[key]
        if not isinstance(value, float) or kind not in NUMERIC_TYPES:
            continue
        if not math.isfinite(value) or (key.endswith("epsilon") and not 0 <= value < 1):
            raise file.error(f"{key} is {value}")
    for key, option in SAMPLING_KEYS.items():
        advice = file.metadata.get(key, 1)
        low, high = _SAMPLING_RANGES[option]
        if not (isinstance(advice, int | float) and low <= advice <= high):
            raise file.error(f"{key} is {advice!r}; it must be a number from {low} to {high}")


def _check_tensors(file: GGUFFile) -> None:
    for info in file.tensors.values():
        _check_storage(file, info)
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise file.error("it has no tensor 'token_embd.weight': a vocabulary without a model")
    tokens = file.array("tokenizer.ggml.tokens", ValueType.STRING)
    expected = (file.integer(f"{file.architecture}.embedding_length"), len(tokens or ()))
    if embedding.shape != expected:
        raise file.error(
            f"token_embd.weight is {list(embedding.shape)}; embedding_length and the vocabulary"
            f" make it {list(expected)}"
        )


def _check_storage(file: GGUFFile, info: TensorInfo) -> None:
    kind = info.ggml_type.name
    if kind == "I32" and INDEX_TENSOR in info.name:
        return
    if kind in NOT_WEIGHTS:
        raise file.error(f"tensor {info.name!r} is stored as {kind}, which ggml cannot multiply")
    if len(info.shape) < 2 and kind != "F32":
        raise file.error(f"tensor {info.name!r} is a vector stored as {kind}; it must be F32")
