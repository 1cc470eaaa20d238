"""From a file or folder to a running `OnnxBackend`, checked before native code sees it."""

from __future__ import annotations

import logging
from pathlib import Path

from edge_llm.backends.base import Capabilities, ModelInfo
from edge_llm.backends.onnx.backend import OnnxBackend
from edge_llm.backends.onnx.graph import MAX_LOGITS_BYTES, DecoderGraph
from edge_llm.backends.onnx.growing import GrowingStore
from edge_llm.backends.onnx.native import load_library
from edge_llm.backends.onnx.shared import SharedStore
from edge_llm.backends.onnx.store import KVStore
from edge_llm.config import EdgeConfig
from edge_llm.device.cpu import usable_cpus
from edge_llm.device.memory import available_memory_bytes, describe_bytes
from edge_llm.errors import ConfigError, InsufficientMemoryError
from edge_llm.hub.fingerprint import SnapshotSettings, content_fingerprint, snapshot_fingerprint
from edge_llm.hub.onnx import (
    DecoderInterface,
    OnnxConfig,
    OnnxFile,
    OnnxFolder,
    check_runnable,
    find_model,
    read_config,
    read_decoder,
    read_onnx,
)
from edge_llm.hub.onnx_folder import TOKENIZER
from edge_llm.prompt.hf_tokenizer import HFTokenizer, TokenizerHints

logger = logging.getLogger(__name__)

DEFAULT_MAX_CONTEXT = 4096
"""Context when none is asked for: what models allow can be 128k, and its KV cache gigabytes."""

SMALL_MODEL_BYTES = 32 << 20
"""Below this a token takes less time than its barriers between threads do: one thread is faster."""

MAX_BATCHED_TOKENS = 512
BASE_BYTES = 64 << 20
"""onnxruntime itself, and the activations of a run."""

CACHE_SHARE = 2
"""Rows for cached prefixes may take this part of the memory that is left."""

_COPY_BYTES_PER_S = 4e9
"""How fast a row is copied: within a factor of two on every machine that was looked at."""


def load_onnx(path: Path, config: EdgeConfig) -> OnnxBackend:
    """Check the files in Python, check the memory, then load the model.

    Raises:
        ModelNotFoundError: the graph, its weights or its tokenizer are missing.
        ModelFormatError: damaged, or not runnable by this onnxruntime.
        InsufficientMemoryError: it would not fit in what is free.
        ConfigError: a longer context than the model has positions for.
    """
    folder = find_model(path)
    if path.is_dir() and folder.others:
        others = ", ".join(folder.others)
        logger.info("%s: taking %s, not %s", path, folder.model.name, others)
    file = read_onnx(folder.model)
    check_runnable(file)
    interface = read_decoder(file)
    facts = read_config(folder)
    context_size = choose_context(config.context_size, facts, interface)
    num_rows = _plan_rows(file, interface, context_size, config)
    tokenizer = _open_tokenizer(folder, facts, interface.vocab_size)
    graph = DecoderGraph(file.path, interface, config.threads or default_threads(file.weight_bytes))
    store = _open_store(graph, num_rows, context_size)
    if tokenizer.vocab_size != graph.vocab_size:  # the graph did not say before it ran
        tokenizer = _open_tokenizer(folder, facts, graph.vocab_size)
    return OnnxBackend(
        graph,
        store,
        tokenizer=tokenizer,
        info=ModelInfo(
            name=folder.name,
            architecture=facts.architecture,
            chat_template=facts.chat_template,
            sampling=facts.sampling,
            # Reading the weights for it takes a while, and only the cache on disk asks.
            state_fingerprint=fingerprint_states(file, interface) if config.cache_max_mb else None,
        ),
        capabilities=Capabilities(
            max_model_len=context_size,
            max_num_seqs=config.max_num_seqs,
            num_seq_ids=num_rows,
            num_kv_cells=num_rows * context_size,
            max_num_batched_tokens=min(MAX_BATCHED_TOKENS, context_size),
            can_share_prefix=False,
            can_truncate=True,
            can_snapshot=True,
            row_copy_cost=interface.cache_bytes_per_token / _COPY_BYTES_PER_S,
        ),
    )


def _open_tokenizer(folder: OnnxFolder, facts: OnnxConfig, vocab_size: int | None) -> HFTokenizer:
    hints = TokenizerHints(
        eos_ids=facts.eos_ids,
        bos_token=facts.bos_token,
        eos_token=facts.eos_token,
        add_bos=facts.add_bos,
        vocab_size=vocab_size,
    )
    return HFTokenizer(folder.root / TOKENIZER, hints)


def choose_context(asked: int | None, facts: OnnxConfig, interface: DecoderInterface) -> int:
    """Tokens that a sequence may hold.

    Raises:
        ConfigError: more were asked for than the graph has positions for.
    """
    most = interface.max_positions
    if asked is None:
        return min(facts.context_length, DEFAULT_MAX_CONTEXT, most or DEFAULT_MAX_CONTEXT)
    if most is not None and asked > most:
        raise ConfigError(
            f"context_size is {asked}, and the model has positions for {most}",
            hint=f"lower it to {most}",
        )
    return asked


def default_threads(weight_bytes: int) -> int:
    """Compute threads for a model: all usable processors, or one where there is little to share."""
    return 1 if weight_bytes < SMALL_MODEL_BYTES else usable_cpus()


def fingerprint_states(file: OnnxFile, interface: DecoderInterface) -> str:
    """What the KV states of this graph, computed by this onnxruntime, are known by."""
    library = load_library()
    settings = SnapshotSettings(
        model=content_fingerprint(file.path),
        library=f"onnxruntime {library.__version__} {library.get_build_info()}",
        type_k=interface.cache_dtype,
        type_v=interface.cache_dtype,
        flash_attention="grouped" if interface.shares_buffer else "growing",
        extra={"layout": "parts of (heads, tokens, head_size)"},
    )
    return snapshot_fingerprint(settings)


def _plan_rows(
    file: OnnxFile, interface: DecoderInterface, context_size: int, config: EdgeConfig
) -> int:
    """Sequences that fit in memory: those that run, and as many cached prefixes as are wanted.

    Each has room for a whole context of its own.
    """
    row = interface.cache_bytes_per_token * context_size
    needed = file.weight_bytes + MAX_LOGITS_BYTES + BASE_BYTES + config.max_num_seqs * row
    free = available_memory_bytes()
    if needed > free:
        raise InsufficientMemoryError(
            f"{file.path.name} needs about {describe_bytes(needed)} for {config.max_num_seqs}"
            f" sequences of {context_size} tokens, and {describe_bytes(free)} are free",
            hint="close other programs, lower context_size or max_num_seqs, or take a smaller"
            " quantisation",
        )
    slots = min(config.prefix_slots, (free - needed) // CACHE_SHARE // max(row, 1))
    if slots < config.prefix_slots:
        logger.warning(
            "%s: memory for %d cached prefixes, not %d; lower context_size for more",
            file.path.name, slots, config.prefix_slots,
        )  # fmt: skip
    return config.max_num_seqs + slots


def _open_store(graph: DecoderGraph, num_rows: int, context_size: int) -> KVStore:
    if graph.interface.shares_buffer:
        shared = SharedStore(graph, num_rows, context_size)
        graph.try_out(shared.binding(0))
        return shared
    growing = GrowingStore(graph)
    graph.try_out(growing.binding(0))
    if graph.interface.cache_branch is not None:
        growing.check_chunks()
    return growing
