"""Inputs that end a process which uses llama.cpp carelessly: here each is an error, no more.

Sequence ids, batches and outputs are in the contract that every backend keeps, token ids that are
to be spelled in the tests of the tokenizer, damaged files in those of the snapshots. Not to be said
at all through this backend: copying part of a sequence between streams (there is one), samplers,
grammars, adapters, and contexts on a vocabulary without weights.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.engine.snapshots import SnapshotStore
from edge_llm.errors import BackendError, ConfigError
from edge_llm.types import SamplingParams
from tests.support.gguf_files import (
    TinySpec,
    build_gguf,
    tiny_metadata,
    tiny_tensors,
    write_tiny_model,
)
from tests.support.recurrent_files import write_recurrent_model

CONTEXT = 256
PROMPT = tuple(b"the kitchen lights are on")
GREEDY = SamplingParams(temperature=0.0, max_tokens=4)


def load(path: Path) -> Backend:
    config = EdgeConfig(context_size=CONTEXT, max_num_seqs=2, prefix_slots=2, threads=1)
    return load_backend(path, config)


def write_llama(path: Path) -> Path:
    return write_tiny_model(path, context=CONTEXT)


def write_mamba(path: Path) -> Path:
    return write_recurrent_model(path, "mamba")


def write_lfm2(path: Path) -> Path:
    return write_recurrent_model(path, "lfm2")


@pytest.fixture(params=[write_llama, write_mamba, write_lfm2], ids=lambda write: write.__name__)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    write: Callable[[Path], Path] = request.param
    loaded = load(write(tmp_path / "model.gguf"))
    yield loaded
    loaded.close()


def assert_it_still_works(backend: Backend) -> None:
    backend.free(0)
    assert np.isfinite(backend.forward([BatchItem(0, 0, PROMPT, 1)])).all()


@pytest.mark.parametrize("token_id", [-1, 10_000, 2**31, 2**40])
def test_a_token_outside_the_vocabulary_in_a_batch(backend: Backend, token_id: int) -> None:
    with pytest.raises((BackendError, OverflowError)):
        backend.forward([BatchItem(0, 0, [65, token_id], 1)])

    assert backend.length(0) == 0
    assert_it_still_works(backend)


def test_every_truncation_of_a_state_and_one_with_a_tail(backend: Backend) -> None:
    backend.forward([BatchItem(0, 0, PROMPT, 0)])
    state = backend.export(0)
    damaged = [state[:length] for length in range(0, len(state), max(1, len(state) // 200))]

    for one in [*damaged, state[:-1], state + b"\0"]:
        with pytest.raises(BackendError):
            backend.import_(1, one)
        assert backend.length(1) == 0

    backend.import_(1, state)
    assert backend.length(1) == len(PROMPT)
    assert_it_still_works(backend)


def test_a_state_of_another_architecture(backend: Backend, tmp_path: Path) -> None:
    other = load(write_recurrent_model(tmp_path / "other.gguf", "jamba"))
    other.forward([BatchItem(0, 0, PROMPT, 0)])
    state = other.export(0)
    other.close()

    with pytest.raises(BackendError):
        backend.import_(1, state)

    assert backend.length(1) == 0
    assert_it_still_works(backend)


def test_a_snapshot_file_that_was_cut_short(backend: Backend, tmp_path: Path) -> None:
    system = tuple(range(5, 205))
    request = EngineRequest((*system, *PROMPT), GREEDY)

    def open_engine() -> Engine:
        folder = tmp_path / "cache"
        return Engine(
            backend, SnapshotStore(folder, "m", max_bytes=10**8, max_daily_write_bytes=10**8)
        )

    first = open_engine()
    answers(first, EngineRequest(system, GREEDY, prefill_only=True, pinned=True))
    expected = answers(first, request)
    leave(first)
    (file,) = (tmp_path / "cache").glob("*.kv*")
    file.write_bytes(file.read_bytes()[:-100])

    second = open_engine()

    assert answers(second, request) == expected
    assert second.scheduler.stats.cached_tokens == 0
    leave(second)


def answers(engine: Engine, request: EngineRequest) -> tuple[int, ...]:
    engine.add_request(request)
    tokens: tuple[int, ...] = ()
    while engine.has_work:
        for event in engine.step():
            assert event.error is None
            tokens += event.token_ids
    return tokens


def leave(engine: Engine) -> None:
    assert engine.disk is not None
    engine.disk.close()
    for seq_id in range(engine.backend.capabilities.num_seq_ids):
        engine.backend.free(seq_id)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_end_the_request(tmp_path: Path, value: float) -> None:
    spec = TinySpec(context=CONTEXT, tied=False)
    tensors = [
        replace(tensor, data=np.full(len(tensor.data) // 4, value, "<f4").tobytes())
        if tensor.name == "output.weight"
        else tensor
        for tensor in tiny_tensors(spec)
    ]
    path = tmp_path / "bad.gguf"
    path.write_bytes(build_gguf(tiny_metadata(spec), tensors))
    engine = Engine(load(path))
    engine.add_request(EngineRequest(PROMPT, GREEDY))

    (event,) = engine.step()

    assert isinstance(event.error, BackendError)
    assert not engine.has_work
    engine.close()


@pytest.mark.parametrize("options", [{"max_num_seqs": 257}, {"prefix_slots": 300}])
def test_more_sequences_than_llama_cpp_can_hold(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        EdgeConfig(**options)  # type: ignore[arg-type]
