"""What the small files of an ONNX model on the hub say; its graph is not fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from edge_llm.backends.onnx.fit import BASE_BYTES
from edge_llm.backends.onnx.graph import MAX_LOGITS_BYTES
from edge_llm.backends.onnx.load import open_tokenizer
from edge_llm.backends.speed import machine_speed
from edge_llm.cli.inspect_contexts import describe_contexts, describe_speed, warn_of_memory
from edge_llm.cli.inspect_parts import Record, describe_prompts, describe_vision
from edge_llm.config import EdgeConfig
from edge_llm.device.memory import available_memory_bytes
from edge_llm.errors import EdgeLLMError
from edge_llm.hub.memory_estimate import MemoryEstimate
from edge_llm.hub.onnx import OnnxConfig, OnnxFolder, read_config
from edge_llm.hub.onnx_cost import onnx_cost_of_size
from edge_llm.hub.variants import ONNX_COMPANIONS, Variant

_NOT_READ = "the graph is not fetched: its operators, cache and inputs are known after pulling it"
_HALF_PRECISION = ("f16", "fp16")


def inspect_onnx_remote(
    graph: Path, variant: Variant, names: Sequence[str], config: EdgeConfig
) -> Record:
    """Facts of a model whose companions lie where `graph` would be; `names` are the repository's.

    Raises:
        ModelFormatError: a file cannot be read.
    """
    root = graph.parent
    if not (root / "tokenizer.json").is_file() and (root.parent / "tokenizer.json").is_file():
        root = root.parent
    folder = OnnxFolder(graph, root)
    facts = read_config(folder)
    weights = variant.num_bytes - sum(
        path.stat().st_size for path in root.rglob("*") if path.name in ONNX_COMPANIONS
    )
    record: Record = {
        "format": "onnx",
        "architecture": facts.architecture,
        "quantization": variant.quant or "fp32",
        "file_bytes": variant.num_bytes,
        "weights_bytes": weights,
        "context_length": facts.context_length,
        "sampling": dict(facts.sampling),
        "problem": None,
        "not_read": _NOT_READ,
    }
    prompts, concerns, vision = _prompts(folder, facts, names)
    return (
        record
        | prompts
        | {"vision": vision}
        | _costs(folder.json("config.json"), variant, weights, facts, config, concerns)
    )


def _costs(
    settings: Mapping[str, Any],
    variant: Variant,
    weights: int,
    facts: OnnxConfig,
    config: EdgeConfig,
    concerns: list[str],
) -> Record:
    """Memory and speed, as far as `config.json` gives the shape of the KV cache."""
    per_token = _kv_bytes_per_token(settings, variant)
    if per_token is None:
        return {"kv_bytes_per_token": None, "warnings": concerns}
    free = available_memory_bytes()
    cost = onnx_cost_of_size(weights, variant.quant, per_token)
    speed = machine_speed(config)

    def estimate(size: int) -> MemoryEstimate:
        rows = config.max_num_seqs * per_token * size
        return MemoryEstimate(weights, rows, MAX_LOGITS_BYTES, BASE_BYTES)

    contexts = describe_contexts(facts.context_length, estimate, cost, speed, free)
    fitting = max((line["context"] for line in contexts if line["fits"]), default=0)
    return {
        "kv_bytes_per_token": per_token,
        "speed": describe_speed(cost, speed),
        "contexts": contexts,
        "warnings": [*concerns, *warn_of_memory(facts.context_length, contexts, fitting)],
    }


def _kv_bytes_per_token(settings: Mapping[str, Any], variant: Variant) -> int | None:
    """Keys and values of one token, from transformers' names; None where they are not all there."""
    inner = settings.get("text_config")
    settings = inner if isinstance(inner, dict) else settings

    def number(name: str) -> int:
        value = settings.get(name)
        return value if isinstance(value, int) and 0 < value < 1 << 31 else 0

    heads = number("num_attention_heads")
    kv_heads = number("num_key_value_heads") or heads
    length = number("head_dim") or (number("hidden_size") // heads if heads else 0)
    width = 2 if variant.quant.endswith(_HALF_PRECISION) else 4
    return 2 * number("num_hidden_layers") * kv_heads * length * width or None


def _prompts(
    folder: OnnxFolder, facts: OnnxConfig, names: Sequence[str]
) -> tuple[Record, list[str], Record]:
    parts = [
        name
        for name in names
        if name.endswith(".onnx") and PurePosixPath(name).name.startswith(("vision", "image"))
    ]
    try:
        tokenizer = open_tokenizer(folder, facts)
    except EdgeLLMError as exc:
        vision = describe_vision(None, facts.chat_template, parts)
        return {"tokens": {"problem": str(exc)}}, [str(exc)], vision
    prompts, concerns = describe_prompts(tokenizer, facts.chat_template)
    return prompts, concerns, describe_vision(tokenizer, facts.chat_template, parts)
