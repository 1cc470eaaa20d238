"""Recurrent and hybrid models on the real llama.cpp: state that is reused whole or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend
from edge_llm.config import EdgeConfig
from edge_llm.engine.engine import Engine
from edge_llm.engine.request import EngineRequest
from edge_llm.engine.snapshots import SnapshotStore
from edge_llm.types import SamplingParams
from tests.support.equality import exact_kernels
from tests.support.recurrent_files import RecurrentArch, write_recurrent_model

CONTEXT = 512
SYSTEM = tuple(b"you are the voice of this house, never rude and never at a loss for words. ")
GREEDY = SamplingParams(temperature=0.0, max_tokens=8)


@pytest.fixture(scope="module", params=get_args(RecurrentArch))
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    path = tmp_path_factory.mktemp("model") / f"{request.param}.gguf"
    write_recurrent_model(path, request.param, context=CONTEXT)
    config = EdgeConfig(context_size=CONTEXT, max_num_seqs=3, prefix_slots=5, threads=1)
    with exact_kernels():
        loaded = load_backend(path, config)
    yield loaded
    loaded.close()


@pytest.fixture
def engine(backend: Backend) -> Iterator[Engine]:
    made = Engine(backend)
    yield made
    made.scheduler.check_integrity()
    made.scheduler.cache.unpin()
    made.clear_prefix_cache()
    assert made.scheduler.num_used_cells == 0
    assert not any(map(backend.length, range(backend.capabilities.num_seq_ids)))


def ask(engine: Engine, token_ids: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """The answer, and how many tokens of the prompt were found in a cache."""
    engine.add_request(EngineRequest(token_ids, GREEDY))
    answer: tuple[int, ...] = ()
    cached = None
    while engine.has_work:
        for event in engine.step():
            assert event.error is None
            answer += event.token_ids
            cached = event.num_cached_tokens
    assert cached is not None
    return answer, cached


def pin(engine: Engine, token_ids: tuple[int, ...]) -> None:
    engine.add_request(EngineRequest(token_ids, GREEDY, prefill_only=True, pinned=True))
    while engine.has_work:
        engine.step()


def test_they_say_that_they_cannot_be_rolled_back(backend: Backend) -> None:
    assert not backend.capabilities.can_truncate
    assert backend.capabilities.can_snapshot


def test_conversations_under_one_system_prompt_each_go_on_from_their_end(
    backend: Backend, engine: Engine
) -> None:
    said = dict.fromkeys(("ann", "bob"), SYSTEM)
    for turn in range(3):
        for name, history in said.items():
            prompt = (*history, *f"{name} asks {turn}: ".encode())
            answer, cached = ask(engine, prompt)
            # The last token said has not been through the model.
            assert cached == (len(history) - 1 if turn else 0)
            said[name] = prompt + answer

    for history in said.values():
        assert ask_afresh(backend, engine, history[:-8]) == history[-8:]


def ask_afresh(backend: Backend, engine: Engine, token_ids: tuple[int, ...]) -> tuple[int, ...]:
    engine.clear_prefix_cache()
    answer, cached = ask(engine, token_ids)
    assert cached == 0
    return answer


def test_a_pinned_system_prompt_is_where_every_conversation_begins(engine: Engine) -> None:
    ask(engine, (*SYSTEM, *b"hello"))
    pin(engine, SYSTEM)

    for text in (b"howdy", b"help", b"good night"):
        assert ask(engine, (*SYSTEM, *text))[1] == len(SYSTEM)


def test_the_same_prompt_asked_again_goes_on_from_a_checkpoint_before_its_end(
    engine: Engine,
) -> None:
    first, _ = ask(engine, (*SYSTEM, *b"hello"))

    assert ask(engine, (*SYSTEM, *b"hello")) == (first, len(SYSTEM) + len(b"hell"))


def test_a_prompt_that_ends_inside_of_a_kept_state_is_computed(engine: Engine) -> None:
    ask(engine, (*SYSTEM, *b"hello"))

    assert ask(engine, (*SYSTEM, *b"help"))[1] == 0


def test_a_system_prompt_survives_a_restart(backend: Backend, tmp_path: Path) -> None:
    def restart() -> Engine:
        for seq_id in range(backend.capabilities.num_seq_ids):
            backend.free(seq_id)
        store = SnapshotStore(tmp_path, "m", max_bytes=10**8, max_daily_write_bytes=10**8)
        return Engine(backend, store)

    first = restart()
    pin(first, SYSTEM)
    expected, _ = ask(first, (*SYSTEM, *b"hello"))
    assert first.disk is not None
    first.disk.close()

    second = restart()
    assert ask(second, (*SYSTEM, *b"hello")) == (expected, len(SYSTEM))

    assert second.disk is not None
    second.disk.close()
    second.clear_prefix_cache()


def test_a_parked_request_goes_on_without_computing_anything_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = ask(engine, (*SYSTEM, *b"hello"))
    engine.clear_prefix_cache()
    computed = count_tokens(engine.backend, monkeypatch)
    request_id = engine.add_request(EngineRequest((*SYSTEM, *b"hello"), GREEDY))
    answer: tuple[int, ...] = ()
    for _ in range(4):  # the prompt up to its checkpoint, its last token, two more
        answer += tuple(token for event in engine.step() for token in event.token_ids)

    engine.park(request_id)
    ask(engine, (*SYSTEM, *b"good night"))
    engine.resume(request_id)
    computed.clear()
    while engine.has_work:
        answer += tuple(token for event in engine.step() for token in event.token_ids)

    assert answer == expected
    assert sum(computed) == 5


def count_tokens(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    computed: list[int] = []
    forward = backend.forward

    def counted(batch: object, interrupt: object = None) -> object:
        computed.extend(len(item.token_ids) for item in batch)  # type: ignore[attr-defined]
        return forward(batch, interrupt)  # type: ignore[arg-type]

    monkeypatch.setattr(backend, "forward", counted)
    return computed


def test_an_interrupted_prompt_starts_over_and_the_counters_say_so(engine: Engine) -> None:
    pin(engine, SYSTEM)
    prompt = (*SYSTEM, *b"and now something that takes more than a moment")
    expected, _ = ask(engine, prompt)
    engine.clear_prefix_cache()
    asked: list[bool] = []

    def interrupt_once(running: object) -> bool:
        asked.append(True)
        return len(asked) == 1

    engine.is_aborted = interrupt_once
    answer, _ = ask(engine, prompt)

    assert answer == expected
    assert engine.scheduler.stats.recomputed_tokens == len(SYSTEM)
