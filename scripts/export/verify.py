"""An exported model against its checkpoint, on a text, through the runtime's own backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_llm.backends.base import Backend, BatchItem
from edge_llm.errors import QuantizationRefusedError
from edge_llm.quantize.compare import (
    CHUNK_TOKENS,
    Comparison,
    ComparisonSums,
    LogitRows,
    measure_speed,
    open_model,
    split_text,
)


def compare_with_checkpoint(
    checkpoint: Path, graph: Path, text: str, *, max_tokens: int
) -> Comparison:
    """How far the graph is from the checkpoint; there is no speed of the source.

    Raises:
        ModelError: the graph does not load.
        QuantizationRefusedError: it reads the text as other tokens.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, local_files_only=True, dtype=torch.float32
    ).eval()
    sums = ComparisonSums()
    with open_model(graph) as backend:
        if backend.tokenizer.encode(text) != tokenizer.encode(text, add_special_tokens=False):
            raise QuantizationRefusedError("the exported tokenizer reads the text differently")
        windows = split_text(backend, text, max_tokens)
        for window in windows:
            for rows in _aligned_logits(model, backend, window):
                sums.add(rows)
        speed = measure_speed(backend, windows[0])
    return replace(sums.comparison(), target_speed=speed)


def _aligned_logits(model: Any, backend: Backend, window: Sequence[int]) -> Iterator[LogitRows]:
    import torch

    with torch.inference_mode():
        expected = model(torch.tensor([window])).logits[0].numpy()
    for position in range(0, len(window) - 1, CHUNK_TOKENS):
        end = min(position + CHUNK_TOKENS, len(window) - 1)
        item = BatchItem(0, position, window[position:end], end - position)
        found = backend.forward([item]).astype(np.float64)
        next_ids = np.asarray(window[position + 1 : end + 1], np.int64)
        yield LogitRows(expected[position:end].astype(np.float64), found, next_ids)
    backend.free(0)
