"""The engine on real kernels: batching may change the last bits of a logit, and nothing else."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.errors import RequestAbortedError
from edge_llm.hub.resolve import resolve_model
from edge_llm.types import SamplingParams
from tests.support.onnx_files import write_folder

TIE = 0.01
"""Logits this near to each other may change places when rows are batched."""

COMMANDS = [
    "turn on the kitchen lights",
    "set the bedroom to 21 degrees and close the blinds",
    "is the garage door open?",
    "good night",
    "who wrote Hamlet?",
    "start a timer for 5 minutes",
    "play some jazz in the living room",
    "add milk to the shopping list and turn off the zorblax fan",
]


MODELS: dict[str, Callable[[Path], Path]] = {
    "llama_cpp": lambda _: resolve_model("builtin").path,
    "onnx-grouped": lambda folder: write_folder(folder, context=512),
    "onnx-grouped-int4": lambda folder: write_folder(folder, context=512, storage="int4"),
    "onnx-growing": lambda folder: write_folder(folder, context=512, grouped=False),
}


@pytest.fixture(scope="module", params=MODELS)
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    config = EdgeConfig(context_size=512, max_num_seqs=4, threads=1)
    path = MODELS[request.param](tmp_path_factory.mktemp("model") / "tiny")
    loaded = load_backend(path, config)
    yield loaded
    loaded.close()


def prompt(backend: Backend, text: str) -> tuple[int, ...]:
    special = {token.text: token.id for token in backend.tokenizer.special_tokens}
    encode = backend.tokenizer.encode
    if "<|user|>" in special:  # the built-in model
        return (special["<|user|>"], *encode(text), special["<|end|>"], special["<|assistant|>"])
    return (
        special["<|im_start|>"],
        *encode(f"user\n{text}"),
        special["<|im_end|>"],
        *encode("\n"),
        special["<|im_start|>"],
        *encode("assistant\n"),
    )


def generate_alone(backend: Backend, request: EngineRequest) -> tuple[int, ...]:
    engine = Engine(backend)
    (tokens,) = generate(engine, [request])
    engine.clear_prefix_cache()
    return tokens


def generate(engine: Engine, requests: Sequence[EngineRequest]) -> list[tuple[int, ...]]:
    ids = [engine.add_request(request) for request in requests]
    outputs: dict[int, tuple[int, ...]] = dict.fromkeys(ids, ())
    while engine.has_work:
        for event in engine.step():
            assert event.error is None
            outputs[event.request_id] += event.token_ids
    return [outputs[request_id] for request_id in ids]


def margin(backend: Backend, tokens: Sequence[int]) -> float:
    """Distance between the two largest logits after `tokens`."""
    step = backend.capabilities.max_num_batched_tokens
    row: NDArray[np.float32] = np.empty(0, np.float32)
    for begin in range(0, len(tokens), step):
        chunk = tokens[begin : begin + step]
        row = backend.forward([BatchItem(0, begin, chunk, 1)])[0].copy()
    backend.free(0)
    second, first = np.partition(row, len(row) - 2)[-2:]
    return float(first - second)


def assert_nothing_leaks(engine: Engine) -> None:
    engine.scheduler.check_integrity()
    engine.clear_prefix_cache()
    for seq_id in range(engine.backend.capabilities.num_seq_ids):
        assert engine.backend.length(seq_id) == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_batched_answers_equal_solo_answers_but_for_ties(backend: Backend, seed: int) -> None:
    rng = random.Random(seed)
    params = SamplingParams(temperature=0.0, max_tokens=60)
    requests = [EngineRequest(prompt(backend, rng.choice(COMMANDS)), params) for _ in range(10)]
    solo = [generate_alone(backend, request) for request in requests]

    engine = Engine(backend)
    batched = generate(engine, requests)
    assert_nothing_leaks(engine)

    for request, alone, together in zip(requests, solo, batched, strict=True):
        pairs = zip(alone, together, strict=False)
        split = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if split is None:
            assert len(alone) == len(together)
        else:
            assert margin(backend, [*request.token_ids, *alone[:split]]) < TIE


def test_a_fixed_seed_gives_the_same_answer_again(backend: Backend) -> None:
    params = SamplingParams(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=5, max_tokens=40)
    request = EngineRequest(prompt(backend, "good morning"), params)

    first, second = (generate_alone(backend, request) for _ in range(2))

    assert first == second


def test_abort_in_the_middle_of_a_prefill_frees_the_cells_at_once(backend: Backend) -> None:
    engine = Engine(backend)
    params = SamplingParams(max_tokens=5)
    long, short = ((5,) * 500, (5,) * 20)
    ids = [engine.add_request(EngineRequest(tokens, params)) for tokens in (short, long)]
    engine.step()

    for request_id in ids:
        event = engine.abort(request_id)
        assert event is not None
        assert isinstance(event.error, RequestAbortedError)

    assert_nothing_leaks(engine)


def test_more_requests_than_the_cache_holds_all_finish(backend: Backend) -> None:
    engine = Engine(backend)
    params = SamplingParams(
        temperature=0.0, max_tokens=200, logit_bias=dict.fromkeys(range(3), -100.0)
    )
    requests = [EngineRequest(prompt(backend, text), params) for text in COMMANDS]

    outputs = generate(engine, requests)

    assert all(outputs)
    assert_nothing_leaks(engine)
