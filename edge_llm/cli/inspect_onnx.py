"""What `edge-llm inspect` says of an ONNX model."""

from __future__ import annotations

import re
from pathlib import Path

from edge_llm.backends.onnx.fit import fit_memory
from edge_llm.backends.onnx.load import open_tokenizer, planned_model
from edge_llm.backends.threads.plan import recall_threads
from edge_llm.cli.inspect_parts import Record, describe_memory, describe_prompts, describe_threads
from edge_llm.config import EdgeConfig
from edge_llm.device.memory import available_memory_bytes
from edge_llm.errors import EdgeLLMError
from edge_llm.hub.onnx import (
    DecoderInterface,
    OnnxConfig,
    OnnxFile,
    OnnxFolder,
    attention_kind,
    check_runnable,
    find_model,
    op_counts,
    quantization,
    read_config,
    read_decoder,
    read_onnx,
)

_LICENSE = re.compile(r"^license:\s*([\w.+-]+)\s*$", re.MULTILINE)
_LISTED = 12
"""Operators and inputs that are listed; a decoder has dozens of the latter."""


def inspect_onnx(path: Path, config: EdgeConfig) -> Record:
    """Facts in the graph and the files beside it, memory, threads, vocabulary and template.

    Raises:
        ModelError: a file cannot be read.
    """
    folder = find_model(path)
    file = read_onnx(folder.model)
    facts = read_config(folder)
    record: Record = {
        "format": "onnx",
        "file": str(folder.model),
        "others": list(folder.others),
        "architecture": facts.architecture,
        "license": _license(folder),
        "quantization": quantization(file),
        "producer": file.producer,
        "opsets": {domain or "ai.onnx": version for domain, version in file.opsets.items()},
        "operators": dict(op_counts(file).most_common(_LISTED)),
        "nodes": op_counts(file).total(),
        "file_bytes": file.file_bytes,
        "external_files": [p.name for p in file.external_files],
        "weights_bytes": file.weight_bytes,
        "context_length": facts.context_length,
        "sampling": dict(facts.sampling),
    }
    try:
        check_runnable(file)
        interface = read_decoder(file)
    except EdgeLLMError as exc:
        return record | {"problem": str(exc), "inputs": _values(file, everything=True)}
    return record | {
        "problem": None,
        "inputs": _values(file, everything=False),
        "logits": interface.logits_dtype,
        "cache": _cache(interface),
        "attention": attention_kind(file, interface),
        "memory": _memory(file, interface, facts, config),
        "threads": describe_threads(recall_threads(config, planned_model(file, facts))),
        **_prompts(folder, facts, interface),
    }


def _values(file: OnnxFile, *, everything: bool) -> list[str]:
    """The inputs; of those that hold the past only the first."""
    values = [f"{value.name} {value.dtype}{_shape(value.shape)}" for value in file.graph.inputs]
    past = [text for text in values if text.startswith("past")]
    if everything or len(past) < 2:
        return values[: 2 * _LISTED]
    others = [text for text in values if text not in past]
    return [*others, f"{past[0]} and {len(past) - 1} more like it"]


def _shape(shape: tuple[int | str | None, ...] | None) -> str:
    return "" if shape is None else f"[{', '.join('?' if d is None else str(d) for d in shape)}]"


def _cache(interface: DecoderInterface) -> Record:
    heads = sorted({(pair.num_heads, pair.head_size) for pair in interface.pairs})
    return {
        "parts": len(interface.pairs),
        "heads": ", ".join(f"{count} of {size}" for count, size in heads),
        "type": interface.cache_dtype,
        "token_bytes": interface.cache_bytes_per_token,
        "shares_buffer": interface.shares_buffer,
        "positions": interface.max_positions,
    }


def _memory(
    file: OnnxFile, interface: DecoderInterface, facts: OnnxConfig, config: EdgeConfig
) -> Record:
    free = available_memory_bytes()
    try:
        fit = fit_memory(file, interface, facts, config, free)
    except EdgeLLMError as exc:
        return {"free_bytes": free, "fits": False, "problem": str(exc)}
    return describe_memory(fit.estimate, fit.context_size, free) | {"rows": fit.num_rows}


def _prompts(folder: OnnxFolder, facts: OnnxConfig, interface: DecoderInterface) -> Record:
    try:
        tokenizer = open_tokenizer(folder, facts, interface.vocab_size)
    except EdgeLLMError as exc:
        return {"tokens": {"problem": str(exc)}}
    return describe_prompts(tokenizer, facts.chat_template)


def _license(folder: OnnxFolder) -> str:
    """What the model card's first lines name."""
    card = folder.text("README.md") or ""
    found = _LICENSE.search(card[:4096]) if card.startswith("---") else None
    return found[1] if found else ""
