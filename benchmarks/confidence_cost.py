"""What confidence costs a token: statistics, features and score, beside decoding a 0.5B model.

CPU time of the thread that does it, the least of many; a 0.5B model of random weights in Q4_0 with
a vocabulary of 152k decodes on one thread, so that its CPU time is its time. With more threads
decoding takes less time and the share grows by as much.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.bench_sampling import VOCAB_SIZE, make_rows
from benchmarks.random_model import QWEN2_0_5B, cached_model
from benchmarks.report import Figure, figure
from edge_llm.backends import load_backend
from edge_llm.backends.base import BatchItem
from edge_llm.confidence.base import DraftState
from edge_llm.confidence.calibration.calibration import Calibration
from edge_llm.confidence.checkpoints import END
from edge_llm.confidence.features import FEATURE_NAMES, NUM_TOP, FeatureTracker
from edge_llm.config import EdgeConfig
from edge_llm.engine.logits import LogitRow
from edge_llm.engine.statistics import self_certainty, token_statistics

GOAL_SHARE = 0.02
TOKENS, QUICK_TOKENS = 400, 120


def least_us(step: Callable[[], object], count: int) -> float:
    """The smallest CPU time of a call, in microseconds."""
    best = float("inf")
    for _ in range(count):
        started = time.thread_time_ns()
        step()
        best = min(best, (time.thread_time_ns() - started) / 1e3)
    return best


def measure(calibration: Calibration, *, quick: bool) -> dict[str, Figure]:
    """Microseconds of each part, and their share of decoding."""
    count = QUICK_TOKENS if quick else TOKENS
    row = make_rows()["heavy"]
    token = int(row.argmax())
    found = token_statistics(LogitRow(row), token, NUM_TOP, (5,))
    tracker, state = FeatureTracker(), DraftState(num_tokens=9, prompt_tokens=100)
    tracker.add([found] * 8, " word")

    def statistics() -> None:
        fresh = LogitRow(row)
        measured = token_statistics(fresh, token, NUM_TOP, (5,))
        self_certainty(fresh, measured.logsumexp)

    def judge() -> None:
        features = tracker.features(state)
        calibration.judge(END, _for(calibration, features))

    parts = {
        "statistics": least_us(statistics, count),
        "features": least_us(lambda: tracker.add([found], " word"), count),
        "score": least_us(judge, count),
    }
    decode = decode_us(24 if quick else 60)
    share = sum(parts.values()) / decode
    return {
        **{f"cost: {name}": figure([value], "us/token") for name, value in parts.items()},
        "cost: decode, 0.5B Q4_0, one thread": figure([decode], "us/token"),
        f"cost: all of it, {VOCAB_SIZE // 1000}k words": figure(
            [share], "of decoding", goal=GOAL_SHARE, direction="at_most"
        ),
    }


def decode_us(count: int) -> float:
    """CPU microseconds of one step of a random 0.5B model after a short prompt."""
    config = EdgeConfig(context_size=512, threads=1, max_num_seqs=1)
    backend = load_backend(cached_model("qwen2-0.5b-q4_0", QWEN2_0_5B), config)
    try:
        prompt = [BatchItem(0, 0, tuple(range(100, 164)), 1)]
        backend.forward(prompt)
        positions = iter(range(64, 500))

        def step() -> None:
            backend.forward([BatchItem(0, next(positions), (7,), 1)])

        return least_us(step, count)
    finally:
        backend.close()


def _for(calibration: Calibration, features: np.ndarray) -> np.ndarray:
    if calibration.feature_names == FEATURE_NAMES:
        return features
    places = {name: index for index, name in enumerate(FEATURE_NAMES)}
    return np.array([features[places[name]] for name in calibration.feature_names])
