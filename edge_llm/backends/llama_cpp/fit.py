"""Whether a model fits in memory, with which context, and what to do when it does not."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import NamedTuple

from edge_llm.backends.llama_cpp.native import LLAMA_CPP_PYTHON_VERSION
from edge_llm.backends.threads.plan import PlannedModel
from edge_llm.config import EdgeConfig
from edge_llm.device.memory import describe_bytes, reserve_bytes
from edge_llm.errors import ConfigError, InsufficientMemoryError
from edge_llm.hub.gguf import GGUFFile
from edge_llm.hub.gguf_memory import (
    CONTEXT_PADDING,
    ContextShape,
    estimate_memory,
    largest_context,
    recurrent_bytes,
    refuses_kv_type,
)
from edge_llm.hub.memory_estimate import MemoryEstimate

logger = logging.getLogger(__name__)

DEFAULT_MAX_CONTEXT = 4096
"""Context when none is asked for: what models allow can be 128k, and its KV cache gigabytes."""

MAX_BATCHED_TOKENS = 512
"""Tokens per forward: llama.cpp's own default for a physical batch."""


class Fit(NamedTuple):
    """A context, and what the model takes with it."""

    shape: ContextShape
    estimate: MemoryEstimate


def fit_memory(file: GGUFFile, config: EdgeConfig, free_bytes: int) -> Fit:
    """The context to open, which fits in `free_bytes`.

    Raises:
        ConfigError: the model's heads cannot be stored in the configured type.
        InsufficientMemoryError: it does not fit; the hint says what would.
    """
    if problem := refuses_kv_type(file, config.kv_cache_type):
        raise ConfigError(
            f"kv_cache_type {config.kv_cache_type!r} does not suit {file.path.name}: {problem}",
            hint="kv_cache_type='f16' suits every model",
        )
    shape = context_shape(file, config, free_bytes)
    estimate = estimate_memory(file, shape)
    logger.info(
        "%s needs about %s with a context of %d: weights %s, KV cache %s (%s), compute %s,"
        " overhead %s; %s are free",
        file.path.name,
        describe_bytes(estimate.total),
        shape.context_size,
        describe_bytes(estimate.weights),
        describe_bytes(estimate.kv_cache),
        shape.kv_cache_type,
        describe_bytes(estimate.compute),
        describe_bytes(estimate.overhead),
        describe_bytes(free_bytes),
    )
    if estimate.total > free_bytes:
        raise InsufficientMemoryError(
            f"{file.path.name} needs about {describe_bytes(estimate.total)} with a context of"
            f" {shape.context_size}, and {describe_bytes(free_bytes)} are free",
            hint=advice(file, shape, free_bytes),
        )
    return Fit(shape, estimate)


def planned_model(file: GGUFFile) -> PlannedModel:
    """What the number of threads for a file depends on."""
    return PlannedModel(
        f"{file.info.architecture} {file.info.quantization}",
        file.info.weight_bytes,
        f"llama-cpp-python {LLAMA_CPP_PYTHON_VERSION}",
    )


def context_shape(file: GGUFFile, config: EdgeConfig, free_bytes: int) -> ContextShape:
    """The context that the configuration asks for; "auto" is the longest that fits."""
    shape = ContextShape(
        context_size=file.info.context_length,
        num_seq_ids=config.max_num_seqs + config.prefix_slots,
        max_outputs=config.max_num_seqs,
        max_batched_tokens=MAX_BATCHED_TOKENS,
        kv_cache_type=config.kv_cache_type,
    )
    if config.context_size == "auto":
        room = free_bytes - reserve_bytes(free_bytes)
        fitting = largest_context(file, shape, room)
        # The smallest context, when even that is too large, makes the error's numbers right.
        least = min(CONTEXT_PADDING, shape.context_size)
        return replace(shape, context_size=max(fitting, least))
    size = config.context_size or min(file.info.context_length, DEFAULT_MAX_CONTEXT)
    return replace(shape, context_size=size)


def advice(file: GGUFFile, shape: ContextShape, free_bytes: int) -> str:
    """What would fit instead, best first, each with its number."""
    shorter = largest_context(file, shape, free_bytes)
    ways = [f"a context of {shorter} would fit"] if shorter else []
    if shape.kv_cache_type == "f16" and refuses_kv_type(file, "q8_0") is None:
        compact = replace(shape, kv_cache_type="q8_0")
        if estimate_memory(file, compact).total <= free_bytes:
            ways.append("kv_cache_type='q8_0' would fit")
        elif (longest := largest_context(file, compact, free_bytes)) > shorter:
            ways.append(f"kv_cache_type='q8_0' with a context of {longest} would fit")
    slots = most_prefix_slots(file, shape, free_bytes)
    if slots is not None:
        ways.append(f"prefix_slots={slots} would fit")
    if ways:
        return "; or ".join(ways)
    least = estimate_memory(file, replace(shape, context_size=CONTEXT_PADDING))
    room = free_bytes - (least.total - least.weights)
    return (
        f"take a smaller quantisation ({describe_bytes(max(0, room))} are left for weights, these"
        f" have {describe_bytes(least.weights)}), or close other programs"
    )


def most_prefix_slots(file: GGUFFile, shape: ContextShape, free_bytes: int) -> int | None:
    """How many prefix slots fit, of a model that keeps a state for each; None where none helps."""
    per_slot = recurrent_bytes(file, replace(shape, num_seq_ids=1))
    if per_slot == 0:
        return None
    without = estimate_memory(file, shape).total - per_slot * shape.num_seq_ids
    slots = (free_bytes - without) // per_slot - shape.max_outputs
    return slots if slots >= 0 else None
