"""CPU time that one token costs around the model: schedule, fill, choose, measure, detokenise.

The real engine runs on a backend that computes nothing and returns a prepared row of 152k logits,
so that what is timed is all that a runtime adds to `llama_decode`. Two rows: `heavy`, where tens of
tokens hold 0.9 of the probability as in trained models, and `flat`, what random weights give, where
the same share takes most of the vocabulary. The peer is the plain way to do the same choice in
numpy (argmax, softmax, a sort for `top_p`; with statistics also max, logsumexp and top-20 on their
own), which has no engine around it. CPU time of the thread, never wall time; a value is the minimum
over the tokens of one repeat, because other processes can only add to it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Figure, figure, report
from edge_llm.backends.base import BatchItem
from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.types import SamplingParams

VOCAB_SIZE = 151_936
NUM_TOP = 20
MAX_TOKENS = 4000

PARAMS = {
    "greedy": SamplingParams(temperature=0.0),
    "top_p": SamplingParams(temperature=0.8, top_k=0, top_p=0.9, min_p=0.0, seed=0),
    "top_k_p_min_p": SamplingParams(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05, seed=0),
    "pure": SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=0),
    "penalties": SamplingParams(temperature=0.8, repetition_penalty=1.1, seed=0),
}

GOALS_MS = {
    ("heavy", "greedy", True): 0.4,
    ("heavy", "top_p", True): 0.6,
}


class WideTokenizer(ByteTokenizer):
    """As many tokens as a large model has, each a word of five letters."""

    def __init__(self) -> None:
        super().__init__()
        self.vocab_size = VOCAB_SIZE

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of any token."""
        return b" word"


class PreparedBackend(FakeBackend):
    """Fills a batch as llama.cpp wants it, computes nothing, returns a prepared row."""

    def __init__(self, row: NDArray[np.float32]) -> None:
        limits = fake_capabilities(max_model_len=MAX_TOKENS + 8, num_kv_cells=MAX_TOKENS + 8)
        super().__init__(tokenizer=WideTokenizer(), capabilities=limits)
        self._row = row[None, :]
        self._fill = make_fill()

    def forward(self, batch: Sequence[BatchItem], interrupt: object = None) -> NDArray[np.float32]:
        """The prepared row, whatever is asked."""
        self._fill(batch)
        return self._row


def make_fill() -> Callable[[Sequence[BatchItem]], object]:
    """What writes a batch into llama.cpp's structure; nothing where it is not installed."""
    try:
        from edge_llm.backends.llama_cpp.batch import TokenBatch
        from edge_llm.backends.llama_cpp.native import load_library

        return TokenBatch(load_library(), 64).fill
    except ImportError:
        return len


def main() -> None:
    """Measure, then print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    arguments = parser.parse_args()
    tokens, repeats = (60, 3) if arguments.quick else (300, 7)

    figures: dict[str, Figure] = {}
    for row_name, row in make_rows().items():
        for name, with_statistics in itertools.product(PARAMS, (False, True)):
            key = f"{row_name}.{name}" + (".statistics" if with_statistics else "")
            print(key, file=sys.stderr)
            figures[key] = measure(row_name, row, name, with_statistics, tokens, repeats)
    report("sampling", figures, ["numpy"])


def make_rows() -> dict[str, NDArray[np.float32]]:
    """One row with a heavy tail and one that is nearly flat."""
    rng = np.random.default_rng(0)
    spread = np.full(VOCAB_SIZE, 0.3)
    spread[rng.choice(VOCAB_SIZE, 2000, replace=False)] = 4.5
    return {
        "heavy": (rng.standard_normal(VOCAB_SIZE) * spread).astype(np.float32),
        "flat": (rng.standard_normal(VOCAB_SIZE) * 0.5).astype(np.float32),
    }


def measure(
    row_name: str,
    row: NDArray[np.float32],
    name: str,
    with_statistics: bool,
    tokens: int,
    repeats: int,
) -> Figure:
    """Milliseconds per token of the engine and of the plain way, in turn within each repeat."""
    params = PARAMS[name]
    ours, peers = [], []
    for _ in range(repeats):
        ours.append(engine_ms(row, params, with_statistics, tokens))
        peers.append(peer_ms(row, params, with_statistics, max(5, tokens // 10)))
    goal = GOALS_MS.get((row_name, name, with_statistics))
    return figure(ours, "ms/token", goal=goal, direction="at_most", peer=min(peers))


def engine_ms(
    row: NDArray[np.float32], params: SamplingParams, with_statistics: bool, tokens: int
) -> float:
    """CPU milliseconds of one engine step."""
    engine = Engine(PreparedBackend(row))
    num_top = NUM_TOP if with_statistics else None
    request = EngineRequest((1, 2), replace(params, max_tokens=MAX_TOKENS), statistics=num_top)
    engine.add_request(request)
    engine.step()
    best = least_ms(engine.step, tokens)
    engine.close()
    return best


def peer_ms(
    row: NDArray[np.float32], params: SamplingParams, with_statistics: bool, tokens: int
) -> float:
    """CPU milliseconds of the plain numpy code for one token, with nothing around it."""
    rng = np.random.default_rng(0)

    def step() -> None:
        if with_statistics:
            plain_statistics(row)
        plain_sample(row, params, rng)

    return least_ms(step, tokens)


def plain_statistics(row: NDArray[np.float32]) -> NDArray[np.float32]:
    """Max, logsumexp and the top 20, each in the obvious way."""
    top = row.max()
    logsumexp = top + np.log(np.exp(row - top).sum())
    ids = np.argpartition(row, -NUM_TOP)[-NUM_TOP:]
    ids = ids[np.argsort(-row[ids])]
    return np.asarray(row[ids] - logsumexp)


def plain_sample(row: NDArray[np.float32], params: SamplingParams, rng: np.random.Generator) -> int:
    """The filters by their definition, over a sorted vocabulary where one is needed."""
    if params.greedy:
        return int(row.argmax())
    ids = np.arange(len(row))
    if params.top_k:
        ids = np.argpartition(row, -params.top_k)[-params.top_k :]
    if params.filters:
        ids = ids[np.argsort(-row[ids])]
    weights = np.exp((row[ids] - row.max()) / params.temperature)
    probabilities = weights / weights.sum()
    if params.top_p < 1.0:
        ids = ids[: int(np.searchsorted(np.cumsum(probabilities), params.top_p)) + 1]
    if params.min_p:
        ids = ids[weights[: len(ids)] >= params.min_p]
    cumulative = np.cumsum(weights[: len(ids)])
    return int(ids[np.searchsorted(cumulative, rng.random() * cumulative[-1])])


def least_ms(step: Callable[[], object], tokens: int) -> float:
    """The smallest CPU time of a call, in milliseconds."""
    best = float("inf")
    for _ in range(tokens):
        started = time.thread_time_ns()
        step()
        best = min(best, (time.thread_time_ns() - started) / 1e6)
    return best


if __name__ == "__main__":
    main()
