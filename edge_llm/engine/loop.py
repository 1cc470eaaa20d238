"""The one thread that owns an engine, and the only bridge to it from other threads.

Requests and cancellations go in through a queue that the thread empties between steps; events come
out through a listener that the thread calls.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum, auto

from edge_llm.backends.base import Backend
from edge_llm.constrain.grammar import Grammar
from edge_llm.engine.engine import Engine
from edge_llm.engine.host import Listener
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import (
    BackendError,
    EdgeLLMError,
    RequestAbortedError,
    RuntimeClosedError,
)

logger = logging.getLogger(__name__)


class Command(Enum):
    """What can be asked of a request that was submitted."""

    ABORT = auto()
    PARK = auto()
    RESUME = auto()


@dataclass(eq=False, slots=True)
class SubmittedRequest:
    """One submitted request: what `EngineLoop.abort`, `park` and `resume` take."""

    request: EngineRequest
    listener: Listener
    request_id: int = -1
    """The engine's id, once the engine has seen the request; only its thread touches this."""
    is_parked: bool = False
    """Whether it is to be set aside as soon as the engine sees it."""


class EngineLoop:
    """Owns the engine's thread."""

    def __init__(self, load: Callable[[], Engine]) -> None:
        self._load = load
        self._loaded: Future[Backend] = Future()
        self._inbox: deque[SubmittedRequest] = deque()
        self._commands: deque[tuple[Command, SubmittedRequest]] = deque()
        self._handles: dict[int, SubmittedRequest] = {}
        self._compiling: set[SubmittedRequest] = set()
        self._compilers = ThreadPoolExecutor(2, thread_name_prefix="edge-llm-grammar")
        """A grammar may take as long as many tokens, and others are speaking."""
        self._wake = threading.Condition()
        self._closing = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._main, name="edge-llm-engine", daemon=True)

    def open(self) -> Backend:
        """Load the engine on its own thread and start serving; blocks until it is loaded.

        Raises:
            ModelError: what loading raised.
        """
        # A thread inside native code must not outlive the interpreter.
        atexit.register(self.close)
        self._thread.start()
        return self._loaded.result()

    def submit(self, request: EngineRequest, listener: Listener) -> SubmittedRequest:
        """Queue a request; `listener` hears everything about it, refusals too."""
        handle = SubmittedRequest(request, listener)
        with self._wake:
            if self._closing:
                raise RuntimeClosedError("the engine is closed", hint="load the model again")
            if request.grammar is not None:
                self._compiling.add(handle)
                self._compilers.submit(self._compile, handle, request.grammar)
                return handle
            self._inbox.append(handle)
            self._wake.notify()
        return handle

    def _compile(self, handle: SubmittedRequest, grammar: Grammar) -> None:
        """Have the engine's compiler know the grammar, then queue the request."""
        error: EdgeLLMError | None = None
        try:
            self._compiler.compile(grammar)
        except EdgeLLMError as exc:
            error = exc
        except Exception as exc:
            logger.exception("a grammar could not be compiled")
            error = BackendError(f"a grammar could not be compiled: {exc!r}")
        with self._wake:
            if handle not in self._compiling:
                return  # aborted, or closed
            self._compiling.remove(handle)
            if error is None:
                self._inbox.append(handle)
                self._wake.notify()
        if error is not None:
            handle.listener(SequenceEvent(-1, error=error))

    def abort(self, handle: SubmittedRequest) -> None:
        """Stop a request before the next step; nothing happens when it has ended."""
        self._command(Command.ABORT, handle)

    def park(self, handle: SubmittedRequest) -> None:
        """Set a request aside before the next step; see `Engine.park`."""
        self._command(Command.PARK, handle)

    def resume(self, handle: SubmittedRequest) -> None:
        """Go on with a parked request."""
        self._command(Command.RESUME, handle)

    def _command(self, command: Command, handle: SubmittedRequest) -> None:
        with self._wake:
            self._commands.append((command, handle))
            self._wake.notify()

    def close(self) -> None:
        """Abort what runs, free the model, end the thread. Blocks for one step at most."""
        atexit.unregister(self.close)
        if os.getpid() != self._pid:
            return  # the thread stayed in the parent, and so may a lock that it held
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._compilers.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def _main(self) -> None:
        try:
            engine = self._load()
        except BaseException as error:  # noqa: BLE001 — thread border: the opener gets it
            self._loaded.set_exception(error)
            return
        engine.is_aborted = self._wants_out
        self._compiler = engine.compiler
        self._loaded.set_result(engine.backend)
        reason: EdgeLLMError = RuntimeClosedError("the runtime was closed")
        try:
            while self._wait_for_work(engine):
                self._take_commands(engine)
                self._tell(engine.step())
        except Exception as error:
            logger.exception("the engine stopped")
            reason = BackendError(f"the engine stopped: {error!r}")
        self._closing = True
        self._fail_all(reason)
        engine.close()

    def _wants_out(self, running: Set[int]) -> bool:
        with self._wake:  # a deque must not grow while it is read
            return self._closing or any(
                command is Command.ABORT and handle.request_id in running
                for command, handle in self._commands
            )

    def _wait_for_work(self, engine: Engine) -> bool:
        """Sleep until there is something to do; False when the loop is to end."""
        if engine.has_work:
            return not self._closing
        # Nobody computes for a parked request, and its deadline passes all the same.
        deadline_s = engine.next_deadline_s
        timeout_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic()) + 1e-3
        with self._wake:
            self._wake.wait_for(lambda: self._inbox or self._commands or self._closing, timeout_s)
            return not self._closing

    def _take_commands(self, engine: Engine) -> None:
        while self._inbox:
            self._start(engine, self._inbox.popleft())
        while self._commands:
            self._obey(engine, *self._commands.popleft())

    def _obey(self, engine: Engine, command: Command, handle: SubmittedRequest) -> None:
        if command is Command.ABORT:
            if self._give_up(handle):
                error = RequestAbortedError("the request was cancelled")
                handle.listener(SequenceEvent(-1, error=error))
            elif (event := engine.abort(handle.request_id)) is not None:
                self._tell([event])
            return
        handle.is_parked = command is Command.PARK
        if handle.is_parked:
            engine.park(handle.request_id)
        else:
            engine.resume(handle.request_id)

    def _give_up(self, handle: SubmittedRequest) -> bool:
        """Whether the request was still waiting for its grammar; then it is over."""
        with self._wake:
            found = handle in self._compiling
            self._compiling.discard(handle)
            return found

    def _start(self, engine: Engine, handle: SubmittedRequest) -> None:
        try:
            handle.request_id = engine.add_request(handle.request)
        except EdgeLLMError as error:
            handle.listener(SequenceEvent(-1, error=error))
            return
        self._handles[handle.request_id] = handle
        if handle.is_parked:
            engine.park(handle.request_id)

    def _tell(self, events: list[SequenceEvent]) -> None:
        for event in events:
            handle = self._handles[event.request_id]
            if event.is_last:
                del self._handles[event.request_id]
            handle.listener(event)

    def _fail_all(self, error: EdgeLLMError) -> None:
        with self._wake:
            waiting = [*self._handles.values(), *self._inbox, *self._compiling]
            self._handles.clear()
            self._inbox.clear()
            self._compiling.clear()
        for handle in waiting:
            handle.listener(SequenceEvent(handle.request_id, error=error))
