"""A model that nobody uses leaves memory; whoever needs it again only waits."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from edge_llm.backends.fake import FakeBackend
from edge_llm.engine.engine import Engine
from edge_llm.engine.host import ModelHost
from edge_llm.engine.inprocess import InProcessHost
from edge_llm.engine.keep_alive import UnloadingHost
from edge_llm.engine.loop import EngineLoop
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import ModelFormatError, RuntimeClosedError
from edge_llm.types import SamplingParams

HELLO = [{"role": "user", "content": "hello"}]


class Shelf:
    """Opens hosts on fake models and remembers their backends."""

    def __init__(self) -> None:
        self.backends: list[FakeBackend] = []
        self.broken = False

    def open(self) -> ModelHost:
        if self.broken:
            raise ModelFormatError("the file has gone")
        backend = FakeBackend()
        self.backends.append(backend)
        loop = EngineLoop(lambda: Engine(backend))
        loop.open()
        return InProcessHost("fake", backend, loop, None)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def answer(host: ModelHost) -> SequenceEvent:
    ended = threading.Event()
    events: list[SequenceEvent] = []

    def listen(event: SequenceEvent) -> None:
        events.append(event)
        if event.is_last:
            ended.set()

    host.submit(EngineRequest((65, 66), SamplingParams(max_tokens=4)), listen)
    assert ended.wait(30)
    return events[-1]


def test_an_idle_model_is_unloaded_and_comes_back_for_prompts_and_requests(shelf: Shelf) -> None:
    host = UnloadingHost(shelf.open, 0.0)
    assert answer(host).finish_reason is not None

    wait_until(lambda: not host.is_loaded)
    assert shelf.backends[0].closed
    assert host.facts.name == "fake"
    assert "hello" in host.encode(HELLO, None).text
    assert answer(host).finish_reason is not None

    assert len(shelf.backends) == 2
    host.close()
    assert shelf.backends[1].closed


def test_a_model_in_use_stays(shelf: Shelf) -> None:
    host = UnloadingHost(shelf.open, 0.0)
    handle: Any = host.submit(
        EngineRequest((65,), SamplingParams(max_tokens=4)), lambda event: None
    )
    handle.park()

    time.sleep(1.3)

    assert host.is_loaded
    handle.abort()
    wait_until(lambda: not host.is_loaded)
    host.close()


def test_a_model_that_does_not_come_back_is_an_error_each_time_it_is_asked_for(
    shelf: Shelf,
) -> None:
    host = UnloadingHost(shelf.open, 0.0)
    wait_until(lambda: not host.is_loaded)
    shelf.broken = True

    for _ in range(2):
        with pytest.raises(ModelFormatError, match="the file has gone"):
            host.encode(HELLO, None)

    shelf.broken = False
    assert answer(host).finish_reason is not None
    host.close()


def test_those_who_come_together_wait_for_one_loading(shelf: Shelf) -> None:
    host = UnloadingHost(shelf.open, 0.0)
    wait_until(lambda: not host.is_loaded)

    threads = [threading.Thread(target=answer, args=(host,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(shelf.backends) == 2
    host.close()


def test_after_close_nothing_is_loaded_again(shelf: Shelf) -> None:
    host = UnloadingHost(shelf.open, 0.0)
    host.close()
    host.close()

    with pytest.raises(RuntimeClosedError):
        host.encode(HELLO, None)
    assert len(shelf.backends) == 1
