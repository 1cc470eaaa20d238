import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.constrain.compile import CompiledGrammar, GrammarCompiler
from edge_llm.constrain.grammar import Choice, Grammar, Regex
from edge_llm.engine.engine import Engine
from edge_llm.engine.loop import EngineLoop
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import (
    BackendError,
    ContextLengthExceededError,
    DeadlineExceededError,
    GrammarError,
    ModelFormatError,
    RequestAbortedError,
    RuntimeClosedError,
)
from edge_llm.types import SamplingParams

NEVER_ENDS = SamplingParams(temperature=0.0, max_tokens=200, logit_bias={257: -100.0})


def request(length: int = 5, params: SamplingParams = NEVER_ENDS) -> EngineRequest:
    return EngineRequest(tuple(range(65, 65 + length)), params)


class Inbox:
    """A listener that a test can wait on."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[SequenceEvent] = queue.SimpleQueue()

    def __call__(self, event: SequenceEvent) -> None:
        self.events.put(event)

    def last(self) -> SequenceEvent:
        while not (event := self.events.get(timeout=20)).is_last:
            pass
        return event


@pytest.fixture
def loop() -> Iterator[EngineLoop]:
    opened = EngineLoop(lambda: Engine(FakeBackend()))
    opened.open()
    yield opened
    opened.close()


def test_requests_from_many_threads_all_finish(loop: EngineLoop) -> None:
    inboxes = [Inbox() for _ in range(20)]
    threads = [threading.Thread(target=loop.submit, args=(request(), i)) for i in inboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [inbox.last().finish_reason for inbox in inboxes] == ["length"] * 20


def test_abort_ends_a_request_and_spares_the_others(loop: EngineLoop) -> None:
    stays, goes = Inbox(), Inbox()
    loop.submit(request(), stays)
    handle = loop.submit(request(), goes)

    loop.abort(handle)

    assert isinstance(goes.last().error, RequestAbortedError)
    assert stays.last().finish_reason == "length"
    loop.abort(handle)  # long over: nothing happens


def test_a_parked_request_says_nothing_until_it_is_resumed(loop: EngineLoop) -> None:
    inbox, other = Inbox(), Inbox()
    handle = loop.submit(request(), inbox)
    loop.park(handle)
    loop.submit(request(), other)
    other.last()

    said_while_parked = inbox.events.qsize()
    loop.resume(handle)

    assert inbox.last().finish_reason == "length"
    assert said_while_parked < 200


def test_the_deadline_of_a_parked_request_ends_it_while_nothing_else_runs(loop: EngineLoop) -> None:
    inbox = Inbox()
    handle = loop.submit(replace(request(), deadline_s=time.monotonic() + 0.3), inbox)
    loop.park(handle)

    assert isinstance(inbox.last().error, DeadlineExceededError)


def test_a_refused_request_hears_why(loop: EngineLoop) -> None:
    inbox = Inbox()

    loop.submit(request(300), inbox)

    assert isinstance(inbox.last().error, ContextLengthExceededError)


def test_close_ends_running_requests_and_refuses_new_ones() -> None:
    backend = FakeBackend()
    loop = EngineLoop(lambda: Engine(backend))
    loop.open()
    inboxes = [Inbox() for _ in range(8)]
    for inbox in inboxes:
        loop.submit(request(), inbox)

    loop.close()

    ends = [inbox.last() for inbox in inboxes]
    assert all(end.finish_reason == "length" or end.error is not None for end in ends)
    assert backend.closed
    with pytest.raises(RuntimeClosedError):
        loop.submit(request(), Inbox())
    loop.close()


def test_what_loading_raises_reaches_the_opener() -> None:
    def load() -> Engine:
        raise ModelFormatError("broken")

    with pytest.raises(ModelFormatError, match="broken"):
        EngineLoop(load).open()


class Exploding(FakeBackend):
    def forward(self, batch: Any, interrupt: Any = None) -> Any:
        raise ZeroDivisionError("a bug")


def test_a_bug_in_the_engine_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    loop = EngineLoop(lambda: Engine(Exploding()))
    loop.open()
    inbox = Inbox()

    loop.submit(request(), inbox)

    error = inbox.last().error
    assert isinstance(error, BackendError)
    assert "a bug" in str(error)
    assert "the engine stopped" in caplog.text
    loop.close()
    with pytest.raises(RuntimeClosedError):
        loop.submit(request(), Inbox())


class Patient(FakeBackend):
    """Computes a long prompt until it is interrupted."""

    def forward(self, batch: Any, interrupt: Any = None) -> Any:
        end = time.monotonic() + 20
        while interrupt is not None and not interrupt() and time.monotonic() < end:
            time.sleep(0.001)
        return super().forward(batch, interrupt)


@pytest.mark.parametrize("can_truncate", [True, False])
def test_abort_ends_a_long_prefill_in_the_middle_and_spares_its_neighbour(
    can_truncate: bool,
) -> None:
    capabilities = fake_capabilities(can_truncate=can_truncate)
    loop = EngineLoop(lambda: Engine(Patient(capabilities=capabilities)))
    loop.open()
    neighbour, inbox = Inbox(), Inbox()
    short = SamplingParams(temperature=0.0, max_tokens=3)
    loop.submit(request(5, short), neighbour)
    handle = loop.submit(request(60, short), inbox)
    time.sleep(0.1)
    started = time.monotonic()

    loop.abort(handle)

    assert isinstance(inbox.last().error, RequestAbortedError)
    assert time.monotonic() - started < 5
    assert neighbour.last().error is None
    loop.close()


def test_an_idle_engine_computes_nothing(loop: EngineLoop) -> None:
    inbox = Inbox()
    loop.submit(request(), inbox)
    inbox.last()
    before = time.thread_time(), time.process_time()

    time.sleep(0.3)

    assert time.process_time() - before[1] < 0.15


class Slow(FakeBackend):
    def forward(self, batch: Any, interrupt: Any = None) -> Any:
        time.sleep(0.01)
        return super().forward(batch, interrupt)


def test_abort_is_seen_at_the_next_step() -> None:
    loop = EngineLoop(lambda: Engine(Slow()))
    loop.open()
    inbox = Inbox()
    handle = loop.submit(request(), inbox)
    inbox.events.get(timeout=20)
    loop.abort(handle)

    seen = 0
    while not (event := inbox.events.get(timeout=20)).is_last:
        seen += 1

    assert isinstance(event.error, RequestAbortedError)
    assert seen <= 2
    loop.close()


def constrained(grammar: Grammar) -> EngineRequest:
    return EngineRequest(tuple(b"hello"), SamplingParams(max_tokens=20), grammar=grammar)


def test_a_grammar_is_compiled_before_the_engine_sees_the_request(loop: EngineLoop) -> None:
    inbox = Inbox()

    loop.submit(constrained(Choice(("yes",))), inbox)

    assert inbox.last().fits_grammar is True


def test_a_grammar_that_is_none_is_refused_like_any_request(loop: EngineLoop) -> None:
    inbox = Inbox()

    loop.submit(constrained(Regex("(")), inbox)

    assert isinstance(inbox.last().error, GrammarError)


class Waiting(GrammarCompiler):
    """Compiles when it is allowed to."""

    def __init__(self) -> None:
        super().__init__(FakeBackend().tokenizer)
        self.may_go_on = threading.Event()

    def compile(self, grammar: Grammar) -> CompiledGrammar:
        self.may_go_on.wait()
        return super().compile(grammar)


@pytest.fixture
def waiting() -> Iterator[tuple[EngineLoop, Waiting]]:
    compiler = Waiting()

    def load() -> Engine:
        engine = Engine(FakeBackend())
        engine.compiler = compiler
        return engine

    loop = EngineLoop(load)
    loop.open()
    yield loop, compiler
    compiler.may_go_on.set()
    loop.close()


def test_others_are_served_while_a_grammar_is_compiled(
    waiting: tuple[EngineLoop, Waiting],
) -> None:
    loop, compiler = waiting
    slow, quick = Inbox(), Inbox()

    loop.submit(constrained(Choice(("yes",))), slow)
    loop.submit(request(), quick)

    assert quick.last().is_last
    compiler.may_go_on.set()
    assert slow.last().fits_grammar is True


def test_a_request_can_be_given_up_while_its_grammar_is_compiled(
    waiting: tuple[EngineLoop, Waiting],
) -> None:
    loop, compiler = waiting
    inbox, other = Inbox(), Inbox()
    handle = loop.submit(constrained(Choice(("yes",))), inbox)

    loop.abort(handle)

    assert isinstance(inbox.last().error, RequestAbortedError)
    compiler.may_go_on.set()
    loop.submit(constrained(Choice(("no",))), other)
    assert other.last().fits_grammar is True


def test_a_request_parked_while_its_grammar_is_compiled_waits(
    waiting: tuple[EngineLoop, Waiting],
) -> None:
    loop, compiler = waiting
    inbox, other = Inbox(), Inbox()
    handle = loop.submit(constrained(Choice(("yes", "no"))), inbox)
    loop.park(handle)
    compiler.may_go_on.set()
    loop.submit(constrained(Choice(("it", "is"))), other)
    assert other.last().fits_grammar is True

    loop.resume(handle)

    assert inbox.last().fits_grammar is True


def test_closing_ends_requests_whose_grammar_is_being_compiled(
    waiting: tuple[EngineLoop, Waiting],
) -> None:
    loop, _ = waiting
    inbox = Inbox()
    loop.submit(constrained(Choice(("yes",))), inbox)

    loop.close()

    assert isinstance(inbox.last().error, RuntimeClosedError)
