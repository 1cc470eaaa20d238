"""Prefixes that outlive the process: two engines, one after the other, on one folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend
from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.engine.snapshots import SnapshotStore
from edge_llm.errors import BackendError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.types import SamplingParams
from tests.support.gguf_files import write_tiny_model

TURN = ByteTokenizer().special_tokens[0].id
WORDS = b"system\n" + b"You are the voice of this house and never rude. " * 2
SYSTEM = (TURN, *WORDS, TURN)
GREEDY = SamplingParams(temperature=0.0, max_tokens=8)
CONTEXT = 512


def question(text: str, turn: int = TURN) -> EngineRequest:
    return EngineRequest((turn, *WORDS, turn, *b"user\n", *text.encode()), GREEDY)


def fake_backend(folder: Path) -> Backend:
    return FakeBackend(capabilities=fake_capabilities(max_model_len=CONTEXT))


def llama_backend(folder: Path) -> Backend:
    path = write_tiny_model(folder / "tiny.gguf", context=CONTEXT)
    return load_backend(path, EdgeConfig(context_size=CONTEXT, threads=1))


def open_engine(folder: Path, make: Callable[[Path], Backend] = fake_backend) -> Engine:
    store = SnapshotStore(folder / "cache", "model", max_bytes=10**8, max_daily_write_bytes=10**8)
    return Engine(make(folder), store)


def ask(engine: Engine, request: EngineRequest) -> tuple[tuple[int, ...], int]:
    """The answer's tokens, and how many of the prompt's were found in a cache."""
    engine.add_request(request)
    tokens: tuple[int, ...] = ()
    cached = 0
    while engine.has_work:
        for event in engine.step():
            assert event.error is None
            tokens += event.token_ids
            cached = event.num_cached_tokens or 0
    return tokens, cached


@pytest.mark.parametrize("make", [fake_backend, llama_backend], ids=["fake", "llama_cpp"])
def test_a_system_prompt_seen_often_is_there_after_a_restart(
    tmp_path: Path, make: Callable[[Path], Backend]
) -> None:
    first = open_engine(tmp_path, make)
    turn = first.backend.tokenizer.special_tokens[0].id
    expected, _ = ask(first, question("is it late?", turn))
    for text in ("is it cold?", "who is home?", "good night"):
        ask(first, question(text, turn))
    first.close()

    second = open_engine(tmp_path, make)
    answer, cached = ask(second, question("is it late?", turn))

    assert cached == len(SYSTEM)
    assert answer == expected
    second.close()


def test_a_prompt_seen_once_is_not_written(tmp_path: Path) -> None:
    first = open_engine(tmp_path)
    ask(first, question("is it late?"))
    first.close()

    _, cached = ask(open_engine(tmp_path), question("is it late?"))

    assert cached == 0


def test_a_pinned_prompt_is_written_at_once(tmp_path: Path) -> None:
    first = open_engine(tmp_path)
    ask(first, EngineRequest(SYSTEM, GREEDY, prefill_only=True, pinned=True))
    first.close()

    _, cached = ask(open_engine(tmp_path), question("is it late?"))

    assert cached == len(SYSTEM)


def test_a_damaged_snapshot_costs_only_the_time_to_compute(tmp_path: Path) -> None:
    first = open_engine(tmp_path)
    ask(first, EngineRequest(SYSTEM, GREEDY, prefill_only=True, pinned=True))
    expected, _ = ask(first, question("is it late?"))
    first.close()
    rng = np.random.default_rng(0)
    for path in (tmp_path / "cache").iterdir():
        if path.stat().st_size > 100:
            raw = bytearray(path.read_bytes())
            raw[int(rng.integers(60, len(raw)))] ^= 1
            path.write_bytes(raw)

    answer, cached = ask(open_engine(tmp_path), question("is it late?"))

    assert (answer, cached) == (expected, 0)


def test_a_state_that_the_backend_refuses_is_forgotten(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "cache", "m", max_bytes=10**8, max_daily_write_bytes=10**8)
    store.save(SYSTEM, b"of another kind", pinned=True)
    store.flush()
    engine = Engine(fake_backend(tmp_path), store)

    _, cached = ask(engine, question("is it late?"))

    assert cached == 0
    assert store.match(SYSTEM) is None
    engine.scheduler.check_integrity()
    assert engine.scheduler.stats.cached_tokens == 0


def test_ids_and_cells_are_whole_after_restores(tmp_path: Path) -> None:
    first = open_engine(tmp_path)
    ask(first, EngineRequest(SYSTEM, GREEDY, prefill_only=True, pinned=True))
    first.close()
    engine = open_engine(tmp_path)

    for index in range(12):
        ask(engine, question(f"{index} o'clock?"))
        engine.scheduler.check_integrity()

    engine.clear_prefix_cache()
    assert isinstance(engine.backend, FakeBackend)
    assert engine.scheduler.num_used_cells == engine.backend.num_used_cells == 0


class Unexportable(FakeBackend):
    def export(self, seq_id: int) -> bytes:
        raise BackendError("no")


def test_a_state_that_cannot_be_exported_costs_only_the_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(
        tmp_path, lambda _: Unexportable(capabilities=fake_capabilities(max_model_len=CONTEXT))
    )
    ask(engine, EngineRequest(SYSTEM, GREEDY, prefill_only=True, pinned=True))
    for text in ("one?", "two?", "three?"):
        ask(engine, question(text))
        engine.scheduler.check_integrity()

    assert "not kept on disk" in caplog.text


@pytest.mark.parametrize("make", [fake_backend, llama_backend], ids=["fake", "llama_cpp"])
def test_a_parked_request_that_must_make_room_waits_on_disk(
    tmp_path: Path, make: Callable[[Path], Backend]
) -> None:
    plain = open_engine(tmp_path / "plain", make)
    turn = plain.backend.tokenizer.special_tokens[0].id
    parked, other = question("is it late?", turn), EngineRequest((*b"o" * 300,), GREEDY)
    expected, _ = ask(plain, parked)
    plain.close()
    engine = open_engine(tmp_path, make)
    store = engine.disk.store if engine.disk is not None else None
    assert store is not None

    request_id = engine.add_request(parked)
    said = tuple(token for _ in range(2) for e in engine.step() for token in e.token_ids)
    engine.park(request_id)
    while (command := engine.scheduler.evict()) is not None:
        engine.apply(command)
    ask(engine, other)
    assert store.flush()
    engine.resume(request_id)
    while engine.has_work:
        said += tuple(token for event in engine.step() for token in event.token_ids)

    assert said == expected
    assert store.stats().hits == 1
    engine.close()
