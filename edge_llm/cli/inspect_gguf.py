"""What `edge-llm inspect` says of a GGUF file, from its header alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from edge_llm.backends.llama_cpp.fit import context_shape, fit_memory, planned_model
from edge_llm.backends.speed import machine_speed
from edge_llm.backends.threads.plan import recall_threads
from edge_llm.cli.inspect_contexts import describe_contexts, describe_speed, warn_of_memory
from edge_llm.cli.inspect_parts import (
    Record,
    describe_memory,
    describe_prompts,
    describe_threads,
    describe_vision,
)
from edge_llm.config import EdgeConfig
from edge_llm.device.memory import available_memory_bytes
from edge_llm.errors import EdgeLLMError
from edge_llm.hub.gguf import GGUFFile, GGUFModelInfo, check_loadable
from edge_llm.hub.gguf_cost import gguf_decode_cost
from edge_llm.hub.gguf_memory import (
    CONTEXT_PADDING,
    ContextShape,
    attention_bytes,
    estimate_memory,
    largest_context,
    recurrent_bytes,
)
from edge_llm.hub.gguf_rope import describe_rope, rope_warnings
from edge_llm.prompt.audit import look_alikes
from edge_llm.prompt.gguf_vocabulary import GGUFVocabulary

_ANY_AMOUNT = 1 << 62
_VISION_TENSORS = ("v.", "mm.", "a.")
"""Source: llama.cpp tools/mtmd/clip-impl.h: vision encoder, projector, audio encoder."""


def inspect_gguf(file: GGUFFile, config: EdgeConfig, siblings: Sequence[str] = ()) -> Record:
    """Facts in the header, memory, speed, vocabulary, template, and what is wrong with them.

    `siblings` are names of files beside it, where the vision part would be.
    """
    info = file.info
    record: Record = {
        "format": "gguf",
        "name": info.name,
        "architecture": info.architecture,
        "license": info.license,
        "size": info.size_label,
        "parameters": info.num_parameters,
        "active_parameters": info.num_active_parameters,
        "experts": _experts(info),
        "quantization": info.quantization,
        "tensor_types": {
            name: {"tensors": use.num_tensors, "bytes": use.num_bytes}
            for name, use in info.tensor_types.items()
        },
        "file_bytes": file.file_bytes,
        "weights_bytes": info.weight_bytes,
        "context_length": info.context_length,
        "layers": info.num_layers,
        "sampling": dict(info.sampling),
    }
    try:
        check_loadable(file)
    except EdgeLLMError as exc:
        return record | {"problem": str(exc)}
    return record | {"problem": None, **_runnable(file, config, siblings)}


def _runnable(file: GGUFFile, config: EdgeConfig, siblings: Sequence[str]) -> Record:
    info = file.info
    free = available_memory_bytes()
    shape = context_shape(file, config, free)
    cost = gguf_decode_cost(file, config.kv_cache_type)
    speed = machine_speed(config)
    contexts = describe_contexts(
        info.context_length,
        lambda size: estimate_memory(file, replace(shape, context_size=size)),
        cost,
        speed,
        free,
    )
    whole = replace(shape, context_size=info.context_length)
    vocabulary = GGUFVocabulary(file)
    prompts, concerns = describe_prompts(vocabulary, info.chat_template)
    vision = describe_vision(vocabulary, info.chat_template, _vision_files(siblings))
    return {
        "attention": _attention(file),
        "rope": describe_rope(file),
        "kv_bytes_per_token": _bytes_per_token(file, shape),
        "state_bytes": recurrent_bytes(file, replace(shape, num_seq_ids=1)),
        "memory": _memory(file, config, free),
        "speed": describe_speed(cost, speed),
        "contexts": contexts,
        "threads": describe_threads(recall_threads(config, planned_model(file))),
        **prompts,
        "vision": vision | {"tensors": _count_vision_tensors(file)},
        "warnings": [
            *concerns,
            *_unnamed_eos(vocabulary),
            *look_alikes(vocabulary, _written(vocabulary, info.chat_template)),
            *rope_warnings(file),
            *warn_of_memory(info.context_length, contexts, largest_context(file, whole, free)),
        ],
    }


def _experts(info: GGUFModelInfo) -> Record | None:
    if not info.num_experts:
        return None
    return {"count": info.num_experts, "used": info.num_experts_used}


def _attention(file: GGUFFile) -> Record:
    info = file.info
    window = file.metadata.get(f"{info.architecture}.attention.sliding_window")
    return {
        "heads": max(info.num_heads, default=0),
        "kv_heads": max(info.num_kv_heads, default=0),
        "key_length": info.key_length,
        "value_length": info.value_length,
        "sliding_window": window or None if isinstance(window, int) else None,
    }


def _bytes_per_token(file: GGUFFile, shape: ContextShape) -> int:
    one = replace(shape, context_size=CONTEXT_PADDING)
    return attention_bytes(file, one) // CONTEXT_PADDING


def _memory(file: GGUFFile, config: EdgeConfig, free: int) -> Record:
    problem = None
    try:
        shape, estimate = fit_memory(file, config, free)
    except EdgeLLMError as exc:
        problem = str(exc)
        context = None if config.context_size == "auto" else config.context_size
        given = replace(config, kv_cache_type="f16", context_size=context)
        shape, estimate = fit_memory(file, given, _ANY_AMOUNT)
    return describe_memory(estimate, shape.context_size, free) | {"problem": problem}


def _unnamed_eos(vocabulary: GGUFVocabulary) -> Iterator[str]:
    if not vocabulary.names_eos and vocabulary.eos_id is not None:
        text = vocabulary.token_bytes(vocabulary.eos_id).decode("utf-8", "replace")
        yield (
            f"the file names no EOS token: llama.cpp takes its default, number"
            f" {vocabulary.eos_id} ({text!r}), and ends answers there"
        )


def _written(vocabulary: GGUFVocabulary, template: str | None) -> list[str]:
    """Ordinary tokens that look like control tokens, and that the template writes as such."""
    return [text for text in vocabulary.ordinary_look_alikes() if template and text in template]


def _vision_files(siblings: Sequence[str]) -> Iterator[str]:
    return (
        name for name in siblings if "mmproj" in name.lower() and name.lower().endswith(".gguf")
    )


def _count_vision_tensors(file: GGUFFile) -> int:
    return sum(name.startswith(_VISION_TENSORS) for name in file.tensors)
