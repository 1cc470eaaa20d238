"""Runs the ONNX form of the model through our own backend, greedily, one prompt at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from edge_llm.backends import load_backend
from edge_llm.backends.base import BatchItem
from edge_llm.config import EdgeConfig
from edge_llm.hub.onnx import find_model
from scripts.builtin.chat import END
from scripts.builtin.runner import CONTEXT_TOKENS, MAX_ANSWER_TOKENS


class GreedyAnswer(NamedTuple):
    """Token ids without the end mark, and how clear each choice was."""

    ids: list[int]
    gaps: list[float]
    """The two largest logits apart, at every choice, that of the end mark included."""


class OnnxRunner:
    """A loaded model; the key-value cache is emptied before every prompt."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        config = EdgeConfig(
            model=str(path), max_num_seqs=1, prefix_slots=0, cache_max_mb=0, threads=threads
        )
        self._backend = load_backend(path, config)
        # Not the backend's: prompts here are text with control tokens in it.
        self._tokenizer = Tokenizer.from_file(str(find_model(path).root / "tokenizer.json"))
        self.end_id = self.tokenize(END)[0]

    def tokenize(self, text: str) -> list[int]:
        """The token ids of `text`, control tokens recognised."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def answer(self, prompt: str) -> str:
        """What the model writes after `prompt`, up to the end mark."""
        found = self.answer_ids(self.tokenize(prompt))
        text: str = self._tokenizer.decode(found.ids, skip_special_tokens=False)
        return text

    def answer_ids(self, prompt_ids: Sequence[int]) -> GreedyAnswer:
        """The most likely token after `prompt_ids`, again and again, up to the end mark."""
        self._backend.free(0)
        room = min(MAX_ANSWER_TOKENS, CONTEXT_TOKENS - len(prompt_ids))
        ids: list[int] = []
        gaps: list[float] = []
        new = list(prompt_ids)
        while len(ids) < room:
            row = self._last_logits(new)
            second, first = np.partition(row, -2)[-2:]
            gaps.append(float(first - second))
            token = int(row.argmax())
            if token == self.end_id:
                break
            ids.append(token)
            new = [token]
        return GreedyAnswer(ids, gaps)

    def _last_logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after all of `ids`, which follow what was run before: (vocabulary,)."""
        step = self._backend.capabilities.max_num_batched_tokens
        for start in range(0, len(ids), step):
            part = ids[start : start + step]
            is_last = start + step >= len(ids)
            item = BatchItem(0, self._backend.length(0), part, int(is_last))
            rows = self._backend.forward([item])
        row: NDArray[np.float32] = rows[0]
        return row

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Logits after each of `ids`: (tokens, vocabulary)."""
        self._backend.free(0)
        rows = []
        step = self._backend.capabilities.max_num_batched_tokens
        for start in range(0, len(ids), step):
            part = ids[start : start + step]
            rows.append(self._backend.forward([BatchItem(0, start, part, len(part))]).copy())
        return np.concatenate(rows)
