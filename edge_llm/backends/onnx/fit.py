"""Whether an ONNX model fits in memory, with which context and how many cached prefixes."""

from __future__ import annotations

import logging
from typing import NamedTuple

from edge_llm.backends.onnx.graph import MAX_LOGITS_BYTES
from edge_llm.config import EdgeConfig
from edge_llm.device.memory import describe_bytes, reserve_bytes
from edge_llm.errors import ConfigError, InsufficientMemoryError
from edge_llm.hub.memory_estimate import MemoryEstimate
from edge_llm.hub.onnx import DecoderInterface, OnnxConfig, OnnxFile

logger = logging.getLogger(__name__)

DEFAULT_MAX_CONTEXT = 4096
"""Context when none is asked for: what models allow can be 128k, and its KV cache gigabytes."""

BASE_BYTES = 64 << 20
"""onnxruntime itself, and the activations of a run."""

CACHE_SHARE = 2
"""Rows for cached prefixes may take this part of the memory that is left."""

CONTEXT_STEP = 256
"""What `context_size="auto"` rounds to."""


class OnnxFit(NamedTuple):
    """A context, rows for it, and what the model takes with them."""

    context_size: int
    num_rows: int
    """Sequences that run, and cached prefixes: each has room for a whole context."""
    estimate: MemoryEstimate


def fit_memory(
    file: OnnxFile,
    interface: DecoderInterface,
    facts: OnnxConfig,
    config: EdgeConfig,
    free_bytes: int,
    *,
    num_sessions: int = 1,
) -> OnnxFit:
    """The context to open, which fits in `free_bytes`.

    Raises:
        ConfigError: more context than the graph has positions for, or a KV cache of another type.
        InsufficientMemoryError: it does not fit; the hint says what would.
    """
    if config.kv_cache_type != "f16":
        raise ConfigError(
            f"kv_cache_type {config.kv_cache_type!r} is not for ONNX models: the graph of"
            f" {file.path.name} has a KV cache of {interface.cache_dtype}",
            hint="leave kv_cache_type out, or take the model as GGUF",
        )
    weights = num_sessions * file.weight_bytes
    base = weights + MAX_LOGITS_BYTES + BASE_BYTES
    size = _context_size(config, facts, interface, free_bytes - base)
    row = interface.cache_bytes_per_token * size
    if base + config.max_num_seqs * row > free_bytes:
        raise _too_large(file, config, interface.cache_bytes_per_token, size, base, free_bytes)
    slots = _prefix_slots(file, config, row, free_bytes - base - config.max_num_seqs * row)
    num_rows = config.max_num_seqs + slots
    estimate = MemoryEstimate(
        weights=weights,
        kv_cache=num_rows * row,
        compute=MAX_LOGITS_BYTES,
        overhead=BASE_BYTES,
    )
    logger.info(
        "%s needs about %s with a context of %d and %d rows: weights %s, KV cache %s; %s are free",
        file.path.name, describe_bytes(estimate.total), size, num_rows,
        describe_bytes(estimate.weights), describe_bytes(estimate.kv_cache),
        describe_bytes(free_bytes),
    )  # fmt: skip
    return OnnxFit(size, num_rows, estimate)


def estimate_rows(
    file: OnnxFile, interface: DecoderInterface, context_size: int, num_rows: int
) -> MemoryEstimate:
    """What the model takes with rows of a context each."""
    return MemoryEstimate(
        weights=file.weight_bytes,
        kv_cache=num_rows * interface.cache_bytes_per_token * context_size,
        compute=MAX_LOGITS_BYTES,
        overhead=BASE_BYTES,
    )


def largest_context(
    file: OnnxFile, interface: DecoderInterface, num_rows: int, free_bytes: int
) -> int:
    """Tokens, a multiple of `CONTEXT_STEP`, that rows of them may have in `free_bytes`; else 0."""
    room = free_bytes - estimate_rows(file, interface, 0, num_rows).total
    row_bytes = max(1, num_rows * interface.cache_bytes_per_token)
    return max(0, room // row_bytes // CONTEXT_STEP * CONTEXT_STEP)


def _context_size(
    config: EdgeConfig, facts: OnnxConfig, interface: DecoderInterface, room: int
) -> int:
    asked, most = config.context_size, interface.max_positions
    if asked is None:
        return min(facts.context_length, DEFAULT_MAX_CONTEXT, most or DEFAULT_MAX_CONTEXT)
    if asked == "auto":
        limit = min(facts.context_length, most or facts.context_length)
        return min(limit, max(_longest(config, interface, room), CONTEXT_STEP))
    if most is not None and asked > most:
        raise ConfigError(
            f"context_size is {asked}, and the model has positions for {most}",
            hint=f"lower it to {most}",
        )
    return asked


def _longest(config: EdgeConfig, interface: DecoderInterface, room: int) -> int:
    """The context for every sequence and a cached prefix of each, a multiple of a step; else 0."""
    rows = config.max_num_seqs + min(config.prefix_slots, config.max_num_seqs)
    tokens = (room - reserve_bytes(max(0, room))) // (rows * interface.cache_bytes_per_token)
    return max(0, tokens // CONTEXT_STEP * CONTEXT_STEP)


def _too_large(
    file: OnnxFile,
    config: EdgeConfig,
    token_bytes: int,
    size: int,
    base: int,
    free_bytes: int,
) -> InsufficientMemoryError:
    row = token_bytes * size
    needed = base + config.max_num_seqs * row
    tokens = (free_bytes - base) // (config.max_num_seqs * token_bytes)
    fitting = tokens // CONTEXT_STEP * CONTEXT_STEP
    ways = [f"a context_size of {fitting} would fit"] if fitting > 0 else []
    if base + row <= free_bytes:
        ways.append("max_num_seqs=1 would fit")
    return InsufficientMemoryError(
        f"{file.path.name} needs about {describe_bytes(needed)} for {config.max_num_seqs}"
        f" sequences of {size} tokens, and {describe_bytes(free_bytes)} are free",
        hint="; or ".join(ways)
        or "take a smaller quantisation, close other programs, or lower context_size",
    )


def _prefix_slots(file: OnnxFile, config: EdgeConfig, row: int, room: int) -> int:
    slots = min(config.prefix_slots, room // CACHE_SHARE // max(row, 1))
    if slots < config.prefix_slots:
        logger.warning(
            "%s: memory for %d cached prefixes, not %d; lower context_size for more",
            file.path.name, slots, config.prefix_slots,
        )  # fmt: skip
    return slots
