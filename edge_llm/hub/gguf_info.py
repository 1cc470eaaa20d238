"""The facts about a model that other rooms use: sizes, template, recommendations.

Reads metadata leniently: a key that is missing or has a wrong type counts as absent, because
`check_loadable` has refused such files already and `inspect` wants to describe them anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_llm.hub.gguf_types import GGUFArray, GGUFValue, TensorInfo, ValueType

SAMPLING_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "general.sampling.temp": "temperature",
        "general.sampling.top_k": "top_k",
        "general.sampling.top_p": "top_p",
        "general.sampling.min_p": "min_p",
        "general.sampling.penalty_repeat": "repetition_penalty",
        "general.sampling.penalty_last_n": "penalty_window",
    }
)
"""Metadata key to option of `SamplingParams`. Source: llama-arch.cpp, LLM_KV_GENERAL_SAMPLING_*."""

CHAT_TEMPLATE_KEY = "tokenizer.chat_template"

UNSURE_TOKEN_KEY = "edge_llm.unsure_token"
"""Our own key: the spelling of the token by which a model says that it does not know."""


@dataclass(frozen=True, slots=True)
class GGUFModelInfo:
    """What the metadata and the tensor table say about a model."""

    architecture: str
    name: str
    """Empty when the file does not say."""
    license: str
    """SPDX name as written in the file; empty when it does not say."""
    size_label: str
    """The makers' own, such as "0.6B"; else one made from `num_parameters`."""
    num_parameters: int
    tensor_types: Mapping[str, int]
    """Number of tensors by storage type."""
    quantization: str
    """The storage type that holds most of the weights."""
    context_length: int
    """Tokens that the model was trained for."""
    embedding_length: int
    num_layers: int
    num_heads: tuple[int, ...]
    """By layer."""
    num_kv_heads: tuple[int, ...]
    """By layer; 0 where a layer has no KV cache."""
    key_length: int
    """Numbers in the key of one head."""
    value_length: int
    """Numbers in the value of one head."""
    feed_forward_length: int
    """Of the widest layer."""
    vocab_size: int
    chat_template: str | None
    """Jinja source of the default template."""
    chat_templates: Mapping[str, str]
    """Jinja sources of the named templates, such as "tool_use"."""
    sampling: Mapping[str, float]
    """The makers' recommendations, under the names of `SamplingParams`."""
    weight_bytes: int
    unsure_token: str | None = None
    """Spelling of the token by which the model says that it does not know."""


def summarise(
    metadata: Mapping[str, GGUFValue], tensors: Mapping[str, TensorInfo]
) -> GGUFModelInfo:
    """The facts about the model with this metadata and these tensors."""
    arch = _text(metadata, "general.architecture")
    num_layers = _number(metadata, f"{arch}.block_count")
    num_heads = per_layer(metadata.get(f"{arch}.attention.head_count"), num_layers)
    kv_heads = metadata.get(f"{arch}.attention.head_count_kv")
    embedding_length = _number(metadata, f"{arch}.embedding_length")
    head_length = embedding_length // num_heads[0] if num_heads and num_heads[0] else 0
    num_parameters = sum(info.num_elements for info in tensors.values())
    return GGUFModelInfo(
        architecture=arch,
        name=_text(metadata, "general.name"),
        license=_text(metadata, "general.license"),
        size_label=_text(metadata, "general.size_label") or _size_label(num_parameters),
        num_parameters=num_parameters,
        tensor_types=MappingProxyType(Counter(info.ggml_type.name for info in tensors.values())),
        quantization=_quantization(tensors),
        context_length=_number(metadata, f"{arch}.context_length"),
        embedding_length=embedding_length,
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_heads if kv_heads is None else per_layer(kv_heads, num_layers),
        key_length=_number(metadata, f"{arch}.attention.key_length", head_length),
        value_length=_number(metadata, f"{arch}.attention.value_length", head_length),
        feed_forward_length=max(
            per_layer(metadata.get(f"{arch}.feed_forward_length"), num_layers), default=0
        ),
        vocab_size=_vocab_size(metadata),
        chat_template=_text(metadata, CHAT_TEMPLATE_KEY) or None,
        chat_templates=_named_templates(metadata),
        sampling=_sampling(metadata),
        weight_bytes=sum(info.num_bytes for info in tensors.values()),
        unsure_token=_text(metadata, UNSURE_TOKEN_KEY) or None,
    )


def per_layer(value: GGUFValue | None, num_layers: int) -> tuple[int, ...]:
    """A hyper-parameter as one number for each layer: llama.cpp allows one for all of them."""
    if isinstance(value, GGUFArray):
        return tuple(int(number) for number in value.numbers())
    if isinstance(value, int):
        return (int(value),) * min(num_layers, 1 << 16)
    return ()


def _text(metadata: Mapping[str, GGUFValue], key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) else ""


def _number(metadata: Mapping[str, GGUFValue], key: str, default: int = 0) -> int:
    value = metadata.get(key)
    return value if isinstance(value, int) else default


def _vocab_size(metadata: Mapping[str, GGUFValue]) -> int:
    tokens = metadata.get("tokenizer.ggml.tokens")
    return len(tokens) if isinstance(tokens, GGUFArray) else 0


def _named_templates(metadata: Mapping[str, GGUFValue]) -> Mapping[str, str]:
    prefix = f"{CHAT_TEMPLATE_KEY}."
    return MappingProxyType(
        {
            key.removeprefix(prefix): value
            for key, value in metadata.items()
            if key.startswith(prefix) and isinstance(value, str)
        }
    )


def _sampling(metadata: Mapping[str, GGUFValue]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for key, option in SAMPLING_KEYS.items():
        value = metadata.get(key)
        if isinstance(value, int | float):
            found[option] = value
    return MappingProxyType(found)


def _quantization(tensors: Mapping[str, TensorInfo]) -> str:
    weights: Counter[str] = Counter()
    for info in tensors.values():
        weights[info.ggml_type.name] += info.num_elements
    return weights.most_common(1)[0][0] if weights else ""


def _size_label(num_parameters: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if num_parameters >= size:
            return f"{num_parameters / size:.3g}{unit}"
    return str(num_parameters)


NUMERIC_TYPES = frozenset(ValueType) - {ValueType.STRING, ValueType.ARRAY, ValueType.BOOL}
"""Value types that hold a number."""
