"""What `edge-llm inspect` says of a GGUF file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge_llm.backends.llama_cpp.backend import planned_model
from edge_llm.backends.llama_cpp.fit import fit_memory
from edge_llm.backends.llama_cpp.tokenizer import open_vocabulary
from edge_llm.backends.threads.plan import recall_threads
from edge_llm.cli.inspect_parts import Record, describe_memory, describe_prompts, describe_threads
from edge_llm.config import EdgeConfig
from edge_llm.device.memory import available_memory_bytes
from edge_llm.errors import EdgeLLMError
from edge_llm.hub.gguf import GGUFFile, check_loadable, read_gguf

_ANY_AMOUNT = 1 << 62


def inspect_gguf(path: Path, config: EdgeConfig) -> Record:
    """Facts in the file, memory, threads, vocabulary and template.

    Raises:
        ModelError: the file cannot be read.
    """
    file = read_gguf(path)
    info = file.info
    record: Record = {
        "format": "gguf",
        "name": info.name,
        "architecture": info.architecture,
        "license": info.license,
        "quantization": info.quantization,
        "tensor_types": dict(info.tensor_types),
        "size": info.size_label,
        "parameters": info.num_parameters,
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
    with open_vocabulary(path) as tokenizer:
        prompts = describe_prompts(tokenizer, info.chat_template)
    return record | {
        "problem": None,
        "memory": _memory(file, config),
        "threads": describe_threads(recall_threads(config, planned_model(file))),
        **prompts,
    }


def _memory(file: GGUFFile, config: EdgeConfig) -> Record:
    free = available_memory_bytes()
    problem = None
    try:
        shape, estimate = fit_memory(file, config, free)
    except EdgeLLMError as exc:
        problem = str(exc)
        context = None if config.context_size == "auto" else config.context_size
        given = replace(config, kv_cache_type="f16", context_size=context)
        shape, estimate = fit_memory(file, given, _ANY_AMOUNT)
    return describe_memory(estimate, shape.context_size, free) | {"problem": problem}
