"""A real worker process that dies: what its host and those who asked it see."""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge_llm.config import EdgeConfig
from edge_llm.constrain.grammar import JsonSchema
from edge_llm.engine.host import HostSettings
from edge_llm.engine.remote import RemoteHost, open_remote
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.engine.supervisor import MAX_DELAY_S, Supervisor, restart_delay_s
from edge_llm.engine.wire import pack_facts, pack_settings
from edge_llm.errors import (
    ContextLengthExceededError,
    DeadlineExceededError,
    EngineCrashedError,
    GrammarTooLargeError,
    InvalidParameterError,
    ModelFormatError,
    RefusedRequestError,
    RequestAbortedError,
    RuntimeClosedError,
    UnsupportedSchemaError,
)
from edge_llm.hub.resolve import ModelLocation
from edge_llm.types import SamplingParams
from tests.support.crashing_worker import COMMAND, KILLS_AT_ONCE, KILLS_LATER, SLOW

NEVER_ENDS = SamplingParams(temperature=0.0, max_tokens=3000, logit_bias={257: -100.0})
HELLO = [{"role": "user", "content": "hello"}]


def settings(name: str = "crashing", path: Path = Path("nowhere")) -> HostSettings:
    return HostSettings(ModelLocation(name, path), EdgeConfig())


@contextmanager
def remote(name: str = "crashing", path: Path = Path("nowhere")) -> Iterator[RemoteHost]:
    host = open_remote(settings(name, path), COMMAND)
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[RemoteHost]:
    """For tests that do not mind what happened before."""
    with remote() as host:
        yield host


def request(prompt: bytes, max_tokens: int = 5) -> EngineRequest:
    return EngineRequest(tuple(prompt), replace(NEVER_ENDS, max_tokens=max_tokens))


class Inbox:
    """A listener that a test can wait on."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[SequenceEvent] = queue.SimpleQueue()

    def __call__(self, event: SequenceEvent) -> None:
        self.events.put(event)

    def next(self) -> SequenceEvent:
        return self.events.get(timeout=60)

    def last(self) -> SequenceEvent:
        while not (event := self.next()).is_last:
            pass
        assert self.events.empty(), "nothing comes after the last event"
        return event


def ask(host: RemoteHost, prompt: bytes, max_tokens: int = 5) -> SequenceEvent:
    inbox = Inbox()
    host.submit(request(prompt, max_tokens), inbox)
    return inbox.last()


def kill(host: RemoteHost) -> None:
    pid = host.supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def test_requests_and_prompts_are_served(shared: RemoteHost) -> None:
    assert shared.facts.name == "crashing"
    assert shared.facts.max_model_len == 4096
    assert "hello" in shared.encode(HELLO, None).text
    assert ask(shared, b"abc").finish_reason == "length"


def test_statistics_cross_the_border(shared: RemoteHost) -> None:
    inbox = Inbox()
    shared.submit(replace(request(b"abc"), statistics=3), inbox)

    [statistics] = inbox.next().statistics

    assert statistics is not None
    assert len(statistics.top_ids) == 3
    inbox.last()


def test_errors_cross_the_border(shared: RemoteHost) -> None:
    assert isinstance(ask(shared, b"x" * 5000).error, ContextLengthExceededError)
    with pytest.raises(InvalidParameterError):
        shared.encode([{"role": "wizard", "content": "x"}], None)


def test_abort_and_deadline_end_a_request(shared: RemoteHost) -> None:
    aborted, expired = Inbox(), Inbox()
    handle = shared.submit(request(b"abc" + SLOW, 3000), aborted)
    aborted.next()
    handle.abort()
    late = replace(request(b"abc" + SLOW, 3000), deadline_s=time.monotonic() + 0.2)
    shared.submit(late, expired)

    assert isinstance(aborted.last().error, RequestAbortedError)
    assert isinstance(expired.last().error, DeadlineExceededError)


def test_a_parked_request_goes_on_after_resume(shared: RemoteHost) -> None:
    inbox = Inbox()
    handle = shared.submit(request(b"abc" + SLOW, 100), inbox)
    inbox.next()
    handle.park()
    handle.resume()

    assert inbox.last().finish_reason == "length"


def test_a_killed_worker_comes_back_and_who_had_heard_nothing_is_answered() -> None:
    with remote() as host:
        heard, silent = Inbox(), Inbox()
        host.submit(request(b"abc" + SLOW, 3000), heard)
        heard.next()
        kill(host)
        host.submit(request(b"def"), silent)

        error = heard.last().error
        assert isinstance(error, EngineCrashedError)
        assert "SIGKILL" in str(error)
        assert silent.last().finish_reason == "length"
        assert "hello" in host.encode(HELLO, None).text
        assert host.supervisor.num_deaths == 1


def test_a_request_that_kills_the_engine_twice_is_refused_and_its_neighbours_answered() -> None:
    with remote() as host:
        inboxes = [Inbox() for _ in range(3)]
        bad = Inbox()
        for index, inbox in enumerate(inboxes):
            host.submit(request(b"good %d" % index), inbox)
        host.submit(request(b"bad" + KILLS_AT_ONCE), bad)

        assert isinstance(bad.last().error, RefusedRequestError)
        ends = [inbox.last() for inbox in inboxes]
        assert all(
            end.finish_reason == "length" or isinstance(end.error, EngineCrashedError)
            for end in ends
        )
        assert isinstance(ask(host, b"bad" + KILLS_AT_ONCE).error, RefusedRequestError)
        assert host.supervisor.num_deaths == 2
        assert ask(host, b"another").finish_reason == "length"


def test_the_last_words_of_native_code_are_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    with remote() as host:
        ask(host, b"bad" + KILLS_AT_ONCE)

    assert "was killed by SIGABRT: GGML_ASSERT(a bad prompt) failed" in caplog.text


def test_a_request_that_kills_late_is_refused_the_third_time() -> None:
    with remote() as host:
        ends = [ask(host, b"late" + KILLS_LATER, 100).error for _ in range(3)]

    kinds = [EngineCrashedError, EngineCrashedError, RefusedRequestError]
    assert [type(end) for end in ends] == kinds


def test_aborting_what_waits_for_a_restart_ends_it() -> None:
    with remote() as host:
        kill(host)
        inbox = Inbox()
        host.submit(request(b"abc", 3000), inbox).abort()

        assert isinstance(inbox.last().error, RequestAbortedError)


def test_what_loading_raises_reaches_the_opener() -> None:
    with pytest.raises(ModelFormatError, match="this model is broken") as caught:
        open_remote(settings("unloadable"), COMMAND)

    assert caught.value.hint == "take another"


def test_a_model_that_kills_the_worker_while_it_loads_is_an_error() -> None:
    with pytest.raises(EngineCrashedError, match="SIGABRT while it loaded the model"):
        open_remote(settings("deadly"), COMMAND)


def test_a_worker_that_cannot_even_be_started_is_an_error() -> None:
    with pytest.raises(EngineCrashedError, match=r"could not be started.*/nowhere/python"):
        open_remote(settings(), ("/nowhere/python",))


TALKS_NONSENSE = """
import json, sys
sys.stdin.readline()
facts = json.loads(sys.argv[1])
print(json.dumps({"ready": facts}), flush=True)
for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "last": True, "event": {}}), flush=True)
"""


def test_a_request_whose_last_reply_is_nonsense_ends_with_an_error(shared: RemoteHost) -> None:
    facts = json.dumps(pack_facts(shared.facts))
    host = open_remote(settings(), (sys.executable, "-c", TALKS_NONSENSE, facts))
    try:
        assert isinstance(ask(host, b"abc").error, EngineCrashedError)
    finally:
        host.close()


def test_closing_while_the_worker_loads_ends_whoever_waits_for_it() -> None:
    supervisor = Supervisor(
        pack_settings(settings()), (sys.executable, "-c", "import sys; sys.stdin.read()")
    )
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def wait() -> None:
        try:
            supervisor.open()
        except RuntimeClosedError as error:
            ended.put(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    while supervisor.pid is None:
        time.sleep(0.01)
    supervisor.close()

    assert isinstance(ended.get(timeout=20), RuntimeClosedError)


def test_when_the_model_cannot_be_loaded_again_those_who_wait_are_told(tmp_path: Path) -> None:
    with remote("deadly later", tmp_path / "once") as host:
        kill(host)

        assert isinstance(ask(host, b"abc").error, EngineCrashedError)
        (tmp_path / "once").unlink()
        assert ask(host, b"abc").finish_reason == "length"


def test_close_ends_what_runs_and_the_process() -> None:
    with remote() as host:
        pid = host.supervisor.pid
        inbox = Inbox()
        host.submit(request(b"abc" + SLOW, 3000), inbox)
        inbox.next()

        host.close()

        assert isinstance(inbox.last().error, RuntimeClosedError)
        assert pid is not None
        assert not psutil.pid_exists(pid)
        with pytest.raises(RuntimeClosedError):
            host.submit(request(b"abc"), inbox)
        with pytest.raises(RuntimeClosedError):
            host.encode(HELLO, None)


def test_close_during_a_restart_ends_at_once() -> None:
    with remote() as host:
        inbox = Inbox()
        kill(host)
        host.submit(request(b"abc", 3000), inbox)

        host.close()

        assert inbox.last().is_last


HOST_THAT_DIES = """
import os, sys
from tests.engine.test_remote import COMMAND, open_remote, settings
host = open_remote(settings(), COMMAND)
print(host.supervisor.pid, flush=True)
sys.stdin.read()
os._exit(9)
"""


def test_a_worker_does_not_outlive_its_host() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOST_THAT_DIES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert psutil.pid_exists(pid)
        process.kill()
        process.wait()
        deadline_s = time.monotonic() + 30

        while is_running(pid):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_stopped_terminal_job_does_not_reach_the_worker(shared: RemoteHost) -> None:
    pid = shared.supervisor.pid
    assert pid is not None
    assert os.getsid(pid) != os.getsid(0)


def test_log_records_of_the_worker_are_the_hosts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge_llm")
    with remote() as host:
        ask(host, b"abc")
        host.close()

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_many_deaths_in_a_row_are_waited_out() -> None:
    delays = [restart_delay_s(deaths) for deaths in range(12)]

    assert delays[:3] == [0.0, 0.0, 0.25]
    assert delays == sorted(delays)
    assert delays[-1] == MAX_DELAY_S


def test_under_random_kills_every_request_ends_exactly_once() -> None:
    """No request hangs, none is answered twice, none is lost without an error."""
    with remote() as host:
        inboxes = [Inbox() for _ in range(30)]
        ended = threading.Event()

        def kill_now_and_then() -> None:
            for number in range(4):
                if ended.wait(0.2 + 0.3 * (number % 3)):
                    return
                pid = host.supervisor.pid
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_now_and_then)
        killer.start()
        for number, inbox in enumerate(inboxes):
            host.submit(request(b"request %d" % number + SLOW, 40), inbox)
            time.sleep(0.02)
        ends = [inbox.last() for inbox in inboxes]
        ended.set()
        killer.join()

        allowed = (EngineCrashedError, RefusedRequestError)
        assert all(e.finish_reason == "length" or isinstance(e.error, allowed) for e in ends)
        assert host.supervisor.num_deaths >= 1
        assert ask(host, b"after all").finish_reason == "length"


def test_an_answer_keeps_to_its_grammar_in_another_process(shared: RemoteHost) -> None:
    inbox = Inbox()
    schema = {"type": "object", "properties": {"b": {"const": 1}, "a": {"enum": [2, 3]}},
              "required": ["a", "b"], "additionalProperties": False}  # fmt: skip

    shared.submit(replace(request(b"hello", 40), grammar=JsonSchema(schema)), inbox)
    events = [inbox.next()]
    while not events[-1].is_last:
        events.append(inbox.next())

    assert "".join(event.text for event in events) in ('{"b":1,"a":2}', '{"b":1,"a":3}')
    assert events[-1].fits_grammar is True


def test_a_grammar_that_the_worker_cannot_use_is_refused_there(shared: RemoteHost) -> None:
    inbox = Inbox()

    shared.submit(replace(request(b"hello"), grammar=JsonSchema({"not": {}}, strict=True)), inbox)

    error = inbox.last().error
    assert isinstance(error, UnsupportedSchemaError)
    assert (error.path, error.keyword) == ("#/not", "not")


def test_a_grammar_that_cannot_cross_to_the_worker_is_refused_here(shared: RemoteHost) -> None:
    schema: dict[str, Any] = {}
    for _ in range(5000):
        schema = {"items": schema}
    inbox = Inbox()

    shared.submit(replace(request(b"hello"), grammar=JsonSchema(schema)), inbox)

    assert isinstance(inbox.last().error, GrammarTooLargeError)
    assert ask(shared, b"hello").finish_reason == "length"
