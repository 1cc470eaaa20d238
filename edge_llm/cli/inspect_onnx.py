"""What `edge-llm inspect` says of an ONNX model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edge_llm.backends.base import Placement
from edge_llm.backends.onnx.fit import estimate_rows, fit_memory
from edge_llm.backends.onnx.load import open_tokenizer, planned_model
from edge_llm.backends.onnx.providers import ON_CPU, find_targets
from edge_llm.backends.speed import machine_speed
from edge_llm.backends.threads.plan import recall_threads
from edge_llm.cli.inspect_contexts import describe_contexts, describe_speed, warn_of_memory
from edge_llm.cli.inspect_parts import (
    Record,
    describe_memory,
    describe_placement,
    describe_prompts,
    describe_threads,
    describe_vision,
)
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
    stored_types,
)
from edge_llm.hub.onnx_cost import onnx_decode_cost

_LICENSE = re.compile(r"^license:\s*([\w.+-]+)\s*$", re.MULTILINE)
_VISION_GRAPH = re.compile(r"(?:vision|image)\w*\.onnx")
_LISTED = 12
"""Operators and inputs that are listed; a decoder has dozens of the latter."""


def inspect_onnx(path: Path, config: EdgeConfig) -> Record:
    """Facts in the graph and the files beside it, memory, speed, vocabulary and template.

    Raises:
        ModelError: a file cannot be read.
    """
    folder = find_model(path)
    file = read_onnx(folder.model)
    facts = read_config(folder)
    stored = stored_types(file)
    record: Record = {
        "format": "onnx",
        "file": str(folder.model),
        "others": list(folder.others),
        "architecture": facts.architecture,
        "license": license_of(folder.text("README.md")),
        "parameters": sum(use.num_parameters for use in stored.values()),
        "quantization": quantization(file),
        "tensor_types": {
            name: {"tensors": use.num_tensors, "bytes": use.num_bytes}
            for name, use in stored.items()
        },
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
    return record | {"problem": None, **_runnable(folder, file, interface, facts, config)}


def license_of(card: str | None) -> str:
    """What a model card's first lines name."""
    found = _LICENSE.search(card[:4096]) if card and card.startswith("---") else None
    return found[1] if found else ""


def _runnable(
    folder: OnnxFolder,
    file: OnnxFile,
    interface: DecoderInterface,
    facts: OnnxConfig,
    config: EdgeConfig,
) -> Record:
    free = available_memory_bytes()
    cost = onnx_decode_cost(file, interface)
    longest = min(facts.context_length, interface.max_positions or facts.context_length)
    speed = machine_speed(config)
    contexts = describe_contexts(
        longest,
        lambda size: estimate_rows(file, interface, size, config.max_num_seqs),
        cost,
        speed,
        free,
    )
    prompts, concerns, vision = _prompts(folder, facts, interface)
    return {
        "inputs": _values(file, everything=False),
        "logits": interface.logits_dtype,
        "cache": _cache(interface),
        "attention": attention_kind(file, interface),
        "kv_bytes_per_token": interface.cache_bytes_per_token,
        "memory": _memory(file, interface, facts, config, free),
        "speed": describe_speed(cost, speed),
        "contexts": contexts,
        "threads": describe_threads(recall_threads(config, planned_model(file, facts))),
        "placement": _placement(file, config),
        **prompts,
        "vision": vision,
        "warnings": [*concerns, *warn_of_memory(longest, contexts, _fitting(contexts))],
    }


def _fitting(contexts: list[Record]) -> int:
    return max((record["context"] for record in contexts if record["fits"]), default=0)


def _placement(file: OnnxFile, config: EdgeConfig) -> Record:
    """What would run where, as far as it can be known before a session is opened."""
    try:
        targets = find_targets(config)
    except EdgeLLMError as exc:
        return {"problem": str(exc)}
    if targets == [ON_CPU]:
        ops = Counter(node.op_type for node in file.graph.nodes)
        return describe_placement(Placement("cpu", ON_CPU.provider, {ON_CPU.provider: ops.total()}))
    tried = [f"{target.provider} ({target.device})" for target in targets]
    return {"tried": tried, "note": "which of them runs what, --load tells"}


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
    file: OnnxFile,
    interface: DecoderInterface,
    facts: OnnxConfig,
    config: EdgeConfig,
    free: int,
) -> Record:
    try:
        fit = fit_memory(file, interface, facts, config, free)
    except EdgeLLMError as exc:
        return {"free_bytes": free, "fits": False, "problem": str(exc)}
    return describe_memory(fit.estimate, fit.context_size, free) | {"rows": fit.num_rows}


def _prompts(
    folder: OnnxFolder, facts: OnnxConfig, interface: DecoderInterface
) -> tuple[Record, list[str], Record]:
    """Vocabulary and template; what is wrong with them; and what speaks for images."""
    parts = sorted(_vision_graphs(folder))
    try:
        tokenizer = open_tokenizer(folder, facts, interface.vocab_size)
    except EdgeLLMError as exc:
        vision = describe_vision(None, facts.chat_template, parts)
        return {"tokens": {"problem": str(exc)}}, [str(exc)], vision
    prompts, concerns = describe_prompts(tokenizer, facts.chat_template)
    return prompts, concerns, describe_vision(tokenizer, facts.chat_template, parts)


def _vision_graphs(folder: OnnxFolder) -> Iterator[str]:
    return (p.name for p in folder.model.parent.glob("*.onnx") if _VISION_GRAPH.match(p.name))
