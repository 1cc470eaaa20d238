"""Keeps an engine worker running: starts it, hears it, and starts it again when it dies."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from edge_llm.engine.exchange import Exchange, ExchangeBook
from edge_llm.engine.host import ModelFacts
from edge_llm.engine.process import WORKER_COMMAND, WorkerProcess
from edge_llm.engine.wire import BrokenPacketError, Packet, unpack_error, unpack_facts
from edge_llm.errors import (
    EdgeLLMError,
    EngineCrashedError,
    RequestAbortedError,
    RuntimeClosedError,
)

logger = logging.getLogger(__name__)

FIRST_DELAY_S = 0.25
MAX_DELAY_S = 30.0
MAX_FAILED_STARTS = 3
"""Deaths while loading, one after the other, before those who wait are told."""
PATIENCE_S = 5.0
"""How long a worker may take to end by itself."""


class Supervisor:
    """One worker over all its lives. Safe to use from any thread."""

    def __init__(self, settings: Packet, command: Sequence[str] = WORKER_COMMAND) -> None:
        self._settings = settings
        self._command = command
        self._book = ExchangeBook()
        self._changed = threading.Condition()
        self._process: WorkerProcess | None = None
        self._is_ready = False
        self._closing = False
        self._deaths_in_row = 0
        self._failed_starts = 0
        self._opened: Future[ModelFacts] = Future()
        self.num_deaths = 0
        """How often the worker has died when it should not."""
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._main, name="edge-llm-supervisor", daemon=True)

    def open(self) -> ModelFacts:
        """Start the worker and wait until its model is loaded.

        Raises:
            ModelError: what loading raised.
            EngineCrashedError: the process died on the way.
        """
        # A thread that reads a pipe must not outlive the interpreter.
        atexit.register(self.close)
        self._thread.start()
        return self._opened.result()

    @property
    def facts(self) -> ModelFacts:
        """What the last worker that came up said of its model."""
        return self._facts

    @property
    def pid(self) -> int | None:
        """The worker's process id; None while there is none."""
        process = self._process
        return None if process is None else process.pid

    @property
    def is_ready(self) -> bool:
        """Whether a worker is up with its model loaded."""
        return self._is_ready

    def submit(self, exchange: Exchange) -> None:
        """Send an exchange, now or when the worker is there again.

        Raises:
            RuntimeClosedError: after `close`.
            RefusedRequestError: it killed the engine twice.
        """
        with self._changed:
            if self._closing:
                raise RuntimeClosedError("the engine is closed", hint="load the model again")
            self._book.add(exchange, time.monotonic())
            self._dispatch()
            self._changed.notify_all()

    def command(self, exchange: Exchange, command: str) -> None:
        """Pass `abort`, `park` or `resume` on; nothing happens when the exchange has ended."""
        withdrawn = False
        with self._changed:
            if command == "abort":
                exchange.is_aborted = True
                withdrawn = self._book.withdraw(exchange)
            if self._book.is_sent(exchange):
                self._send({"op": command, "id": exchange.id})
            else:
                exchange.commands.append(command)
            self._dispatch()
        if withdrawn:
            exchange.fail(RequestAbortedError("the request was cancelled"))

    def close(self) -> None:
        """End the worker, and everyone who waits with `RuntimeClosedError`."""
        atexit.unregister(self.close)
        if os.getpid() != self._pid:
            return  # the thread stayed in the parent, and so may a lock that it held
        with self._changed:
            self._closing = True
            process = self._process
            self._changed.notify_all()
        if process is not None:
            process.hang_up()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join(PATIENCE_S)
            if self._thread.is_alive() and process is not None:
                process.kill()
                self._thread.join()

    def _main(self) -> None:
        try:
            while self._wait_for_turn():
                self._live_once()
        except Exception as error:
            logger.exception("the engine's supervisor stopped")
            self._give_up(EngineCrashedError(f"the engine's supervisor stopped: {error!r}"))
        with self._changed:
            self._closing = True
        closed = RuntimeClosedError("the runtime was closed")
        if not self._opened.done():
            self._opened.set_exception(closed)
        self._give_up(closed)

    def _wait_for_turn(self) -> bool:
        """Sleep as long as the last deaths ask for; False when there is to be no other life."""
        with self._changed:
            if self._opened.done() and self._opened.exception() is not None:
                return False
            if self._failed_starts:  # nobody has asked since those who waited were told
                self._changed.wait_for(lambda: self._closing or not self._book.is_empty)
            delay_s = restart_delay_s(self._deaths_in_row)
            self._changed.wait_for(lambda: self._closing, delay_s)
            return not self._closing

    def _live_once(self) -> None:
        """Start a worker and stay with it to its end."""
        try:
            process = WorkerProcess(self._command)
        except OSError as error:
            self._note_failed_start(
                EngineCrashedError(f"the engine's process could not be started: {error}")
            )
            return
        started_s = time.monotonic()
        with self._changed:
            self._process = process
            if self._closing:
                process.hang_up()
        level = logging.getLogger("edge_llm").getEffectiveLevel()
        process.send({**self._settings, "log_level": level})
        try:
            refusal = self._hear(process)
        except BaseException:
            process.kill()
            raise
        finally:
            process.end(PATIENCE_S)
        was_ready = self._forget(process)
        if self._closing:
            return
        if refusal is not None:
            self._note_failed_start(refusal)
        elif was_ready:
            self._note_crash(process.describe_end(), time.monotonic() - started_s)
        else:
            how = f"the engine {process.describe_end()} while it loaded the model"
            self._note_failed_start(EngineCrashedError(how))

    def _hear(self, process: WorkerProcess) -> EdgeLLMError | None:
        """Take what the worker says until it ends; why it could not load, where that is so."""
        try:
            while (packet := process.receive()) is not None:
                if "id" in packet:
                    self._take_reply(packet)
                elif "log" in packet:
                    level, name, message = packet["log"]
                    logging.getLogger(name).log(level, "%s", message)
                elif "ready" in packet:
                    self._take_facts(unpack_facts(packet["ready"]))
                else:
                    return unpack_error(packet["failed"])
        except (BrokenPacketError, KeyError, TypeError, ValueError) as error:
            # A worker whose memory was damaged may say anything; it is not listened to any more.
            logger.warning("the engine's process said something strange: %r", error)
            process.kill()
        return None

    def _take_facts(self, facts: ModelFacts) -> None:
        with self._changed:
            self._facts = facts
            self._is_ready = True
            self._failed_starts = 0
            self._dispatch()
        if not self._opened.done():
            self._opened.set_result(facts)

    def _take_reply(self, packet: Packet) -> None:
        is_last = packet["last"]
        with self._changed:
            exchange = self._book.answered(packet["id"], is_last=is_last)
            if is_last:
                self._deaths_in_row = 0
            self._dispatch()
        if exchange is None:
            return
        try:
            exchange.receive(packet)
        except Exception:
            if is_last:  # it is in the book no more, and would wait for ever
                exchange.fail(EngineCrashedError("the engine's process gave a reply without sense"))
            raise

    def _forget(self, process: WorkerProcess) -> bool:
        """Send nothing more to a worker that has ended; whether it ever was ready."""
        with self._changed:
            was_ready, self._is_ready = self._is_ready, False
            self._process = None
            return was_ready

    def _note_crash(self, how: str, lived_s: float) -> None:
        logger.warning("the engine %s", how)
        with self._changed:
            self.num_deaths += 1
            self._deaths_in_row = 1 if lived_s > MAX_DELAY_S else self._deaths_in_row + 1
            failures = self._book.crashed(how, time.monotonic())
        for failure in failures:
            failure.tell()

    def _note_failed_start(self, error: EdgeLLMError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            return
        logger.warning("the engine did not come back: %s", error)
        with self._changed:
            self._failed_starts += 1
            self._deaths_in_row += 1
            may_differ_next_time = isinstance(error, EngineCrashedError)
            if may_differ_next_time and self._failed_starts % MAX_FAILED_STARTS:
                return
        self._give_up(error)

    def _give_up(self, error: EdgeLLMError) -> None:
        with self._changed:
            failures = self._book.fail_all(error)
        for failure in failures:
            failure.tell()

    def _dispatch(self) -> None:
        """Send whatever may go; the lock is held."""
        if not self._is_ready:
            return
        while (exchange := self._book.next_to_send()) is not None:
            self._send({**exchange.pack(), "id": exchange.id})
            for command in exchange.commands:
                self._send({"op": command, "id": exchange.id})

    def _send(self, packet: Packet) -> None:
        if self._process is not None:
            self._process.send(packet)


def restart_delay_s(deaths_in_row: int) -> float:
    """Seconds before the next start: none after the first death, then doubled each time."""
    if deaths_in_row <= 1:
        return 0.0
    return min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** (deaths_in_row - 2))
