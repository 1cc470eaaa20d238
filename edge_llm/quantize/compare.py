"""How far a model in fewer bits is from the one it was made from, and how fast both are.

Both run side by side on the same text, behind the contract that the engine uses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.config import EdgeConfig
from edge_llm.errors import ConfigError, QuantizationRefusedError

WINDOW_TOKENS = 256
"""Text is read in pieces of this length, each from a fresh start."""

CHUNK_TOKENS = 32
"""Logits in memory at a time: with 150k tokens in a vocabulary these are 20 MB a model."""

_DECODED_TOKENS = 32
_REPEATS = 3
_MIN_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens in a second, the best of three runs."""

    prefill: float
    decode: float
    """One sequence, one token at a time."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model against the one it was made from."""

    num_tokens: int
    """Tokens of the text that were predicted by both."""
    kl_divergence: float
    """Mean over the tokens, in nats, of the original's distribution from the result's; 0 is the
    same."""
    kl_divergence_p99: float
    """What 99 of 100 tokens stay below."""
    top1_agreement: float
    """Share of tokens at which both find the same token most likely."""
    source_perplexity: float
    target_perplexity: float
    source_speed: Speed
    target_speed: Speed


def compare_models(
    source: Path,
    target: Path,
    text: str,
    *,
    max_tokens: int,
    threads: int | None = None,
    report_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run both model files over at most `max_tokens` tokens of `text`.

    Raises:
        ModelError: one of them does not load, or both do not fit in memory together.
        BackendError: one of them does not run.
        ConfigError: the text has too few tokens.
        QuantizationRefusedError: the result gives logits that are no numbers.
    """
    with open_model(source, threads) as original, open_model(target, threads) as result:
        windows = split_text(original, text, max_tokens)
        # First, while the text has not warmed the processor up for one of them only.
        speeds = measure_speed(original, windows[0]), measure_speed(result, windows[0])
        sums = ComparisonSums()
        total = sum(len(window) - 1 for window in windows)
        for window in windows:
            for rows in _aligned_logits(original, result, window):
                sums.add(rows)
                if report_progress is not None:
                    report_progress(sums.num_tokens, total)
        return replace(sums.comparison(), source_speed=speeds[0], target_speed=speeds[1])


class LogitRows(NamedTuple):
    """Logits of both models and the tokens that came next."""

    original: NDArray[np.float64]
    result: NDArray[np.float64]
    next_ids: NDArray[np.int64]


class ComparisonSums:
    """Adds up what a text shows of two models."""

    def __init__(self) -> None:
        self.num_tokens = 0
        self._divergences: list[NDArray[np.float64]] = []
        self._num_same = 0
        self._losses = [0.0, 0.0]

    def add(self, rows: LogitRows) -> None:
        """Count the next few tokens."""
        original, result = _log_softmax(rows.original), _log_softmax(rows.result)
        self._divergences.append((np.exp(original) * (original - result)).sum(axis=1))
        self._num_same += int((original.argmax(axis=1) == result.argmax(axis=1)).sum())
        for index, logprobs in enumerate((original, result)):
            chosen = np.take_along_axis(logprobs, rows.next_ids[:, None], axis=1)
            self._losses[index] -= float(chosen.sum())
        self.num_tokens += len(rows.next_ids)

    def comparison(self) -> Comparison:
        """The figures so far, without speeds."""
        divergences = np.maximum(np.concatenate(self._divergences), 0.0)
        perplexities = [_perplexity(loss / self.num_tokens) for loss in self._losses]
        nothing = Speed(0.0, 0.0)
        return Comparison(
            num_tokens=self.num_tokens,
            kl_divergence=float(divergences.mean()),
            kl_divergence_p99=float(np.quantile(divergences, 0.99)),
            top1_agreement=self._num_same / self.num_tokens,
            source_perplexity=perplexities[0],
            target_perplexity=perplexities[1],
            source_speed=nothing,
            target_speed=nothing,
        )


@contextmanager
def open_model(path: Path, threads: int | None = None) -> Iterator[Backend]:
    """A model for one sequence, closed afterwards.

    Raises:
        ModelError: it does not load.
    """
    config = EdgeConfig(
        model=str(path), max_num_seqs=1, prefix_slots=0, cache_max_mb=0, threads=threads
    )
    backend = load_backend(path, config)
    try:
        yield backend
    finally:
        backend.close()


def split_text(backend: Backend, text: str, max_tokens: int) -> list[list[int]]:
    """At most `max_tokens` tokens of a text in windows, each begun as the model expects.

    Raises:
        ConfigError: the text has too few tokens.
    """
    tokenizer = backend.tokenizer
    ids = tokenizer.encode(text)[:max_tokens]
    if len(ids) < _MIN_TOKENS:
        raise ConfigError(
            f"the text has {len(ids)} tokens: too few to compare models on",
            hint=f"it takes {_MIN_TOKENS} at least; a few thousand give steady figures",
        )
    start = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    # Room is left for the tokens that measuring decode adds.
    longest = backend.capabilities.max_model_len - _DECODED_TOKENS - len(start)
    size = max(2, min(WINDOW_TOKENS, longest))
    windows = [start + ids[begin : begin + size] for begin in range(0, len(ids), size)]
    return [window for window in windows if len(window) > 1]


def _aligned_logits(
    original: Backend, result: Backend, window: Sequence[int]
) -> Iterator[LogitRows]:
    """The logits of both for each token of a window but the last."""
    for position in range(0, len(window) - 1, CHUNK_TOKENS):
        end = min(position + CHUNK_TOKENS, len(window) - 1)
        item = BatchItem(0, position, window[position:end], end - position)
        rows = [backend.forward([item]).astype(np.float64) for backend in (original, result)]
        for name, values in zip(("the original", "the result"), rows, strict=True):
            if not np.isfinite(values).all():
                raise QuantizationRefusedError(f"{name} gives logits that are no numbers")
        next_ids = np.asarray(window[position + 1 : end + 1], np.int64)
        yield LogitRows(rows[0], rows[1], next_ids)
    original.free(0)
    result.free(0)


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    logprobs: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logprobs


def _perplexity(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf


def measure_speed(backend: Backend, window: Sequence[int]) -> Speed:
    """How fast a model reads `window` and goes on from there; it holds nothing afterwards."""
    prefill, decode = math.inf, math.inf
    for _ in range(_REPEATS):
        started = time.perf_counter()
        backend.forward([BatchItem(0, 0, window, 1)])
        prefill = min(prefill, time.perf_counter() - started)
        started = time.perf_counter()
        for step in range(_DECODED_TOKENS):
            backend.forward([BatchItem(0, len(window) + step, window[-1:], 1)])
        decode = min(decode, time.perf_counter() - started)
        backend.free(0)
    return Speed(round(len(window) / prefill, 1), round(_DECODED_TOKENS / decode, 1))
