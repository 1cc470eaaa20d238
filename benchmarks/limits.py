"""What the machine allows: bytes a second from memory, and what a step has to read."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edge_llm.hub.gguf import read_gguf
from edge_llm.hub.gguf_memory import CONTEXT_PADDING, ContextShape, attention_bytes


def measure_bandwidth(threads: int, size: int = 1 << 28) -> float:
    """Bytes per second that this many threads read from memory together; best of five."""
    parts = np.array_split(np.ones(size // 4, np.float32), threads)
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            started = time.perf_counter()
            list(pool.map(np.sum, parts))
            best = min(best, time.perf_counter() - started)
    return size / best


def step_bytes(path: Path, num_seqs: int, depth: int) -> int:
    """Bytes that a decoding step has to read: the weights, and all keys and values.

    Not the embedding, of which it reads a row for each token, unless it is the output head as well.
    """
    file = read_gguf(path)
    tied = "output.weight" not in file.tensors
    embedding = 0 if tied else file.tensors["token_embd.weight"].num_bytes
    kv_bytes = attention_bytes(file, ContextShape(CONTEXT_PADDING)) // CONTEXT_PADDING
    kv_bytes *= num_seqs * depth
    return file.info.weight_bytes - embedding + kv_bytes
