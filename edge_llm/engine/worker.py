"""The engine in a process of its own: `python -m edge_llm.engine.worker`, started by its host.

The first message on standard input says which model to load; then questions come in and replies go
out, as JSON lines. It ends when its input does, and so never outlives its host.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeAlias

from edge_llm.engine.host import HostSettings, ModelHost, RequestHandle
from edge_llm.engine.inprocess import open_in_process
from edge_llm.engine.request import SequenceEvent
from edge_llm.engine.wire import (
    Packet,
    pack_error,
    pack_event,
    pack_facts,
    pack_prompt,
    read_packet,
    unpack_request,
    unpack_settings,
    write_packet,
)
from edge_llm.errors import BackendError, EdgeLLMError

OpenHost: TypeAlias = Callable[[HostSettings], ModelHost]

_PATIENCE_S = 4.0
"""How long closing may take before the process just ends; the host's own patience is longer."""

_OOM_SCORE = 300
"""Where memory runs out the kernel is to take this process, not the application that started it."""


class Channel:
    """The way to the host; any thread may send."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, packet: Packet) -> None:
        """Send one message; a host that has gone is noticed at the other pipe."""
        with self._lock, contextlib.suppress(OSError):
            write_packet(self._stream, packet)


class Worker:
    """Serves one host."""

    def __init__(self, host: ModelHost, channel: Channel) -> None:
        self._host = host
        self._channel = channel
        self._handles: dict[int, RequestHandle] = {}
        self._ended_early: set[int] = set()
        self._lock = threading.Lock()
        self._encoding = ThreadPoolExecutor(2, thread_name_prefix="edge-llm-encode")

    def take(self, packet: Packet) -> None:
        """Start what one message asks for; never blocks for long, so that an abort is heard."""
        exchange_id = packet.pop("id")
        match packet.pop("op"):
            case "generate":
                self._generate(exchange_id, packet)
            case "encode":
                self._encoding.submit(self._encode, exchange_id, packet)
            case "abort":
                self._find(exchange_id, lambda handle: handle.abort())
            case "park":
                self._find(exchange_id, lambda handle: handle.park())
            case "resume":
                self._find(exchange_id, lambda handle: handle.resume())
            case other:
                raise ValueError(f"unknown operation {other!r}")

    def _generate(self, exchange_id: int, packet: Packet) -> None:
        def listen(event: SequenceEvent) -> None:
            if event.is_last:
                with self._lock:
                    if self._handles.pop(exchange_id, None) is None:
                        self._ended_early.add(exchange_id)
            self._channel.send(
                {"id": exchange_id, "last": event.is_last, "event": pack_event(event)}
            )

        try:
            request = unpack_request(packet)
        except EdgeLLMError as error:
            event = SequenceEvent(-1, error=error)
            self._channel.send({"id": exchange_id, "last": True, "event": pack_event(event)})
            return
        handle = self._host.submit(request, listen)
        with self._lock:
            if exchange_id in self._ended_early:
                self._ended_early.remove(exchange_id)
            else:
                self._handles[exchange_id] = handle

    def _find(self, exchange_id: int, act: Callable[[RequestHandle], None]) -> None:
        with self._lock:
            handle = self._handles.get(exchange_id)
        if handle is not None:
            act(handle)

    def _encode(self, exchange_id: int, packet: Packet) -> None:
        reply: Packet = {"id": exchange_id, "last": True}
        try:
            prompt = self._host.encode(packet["messages"], packet["tools"])
            reply["prompt"] = pack_prompt(prompt)
        except EdgeLLMError as error:
            reply["error"] = pack_error(error)
        except Exception as error:
            logging.getLogger(__name__).exception("a prompt could not be made")
            reply["error"] = pack_error(BackendError(f"a prompt could not be made: {error!r}"))
        self._channel.send(reply)


class LogRelay(logging.Handler):
    """Sends log records to the host, whose handlers they are meant for."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        self._channel.send({"log": [record.levelno, record.name, record.getMessage()]})


def serve(open_host: OpenHost, questions: IO[bytes], channel: Channel) -> int:
    """Load what the first message names and answer the rest until there are no more.

    Returns the exit code.
    """
    first = read_packet(questions)
    if first is None:
        return 0
    logger = logging.getLogger("edge_llm")
    logger.addHandler(LogRelay(channel))
    logger.setLevel(first.pop("log_level"))
    try:
        host = open_host(unpack_settings(first))
    except EdgeLLMError as error:
        channel.send({"failed": pack_error(error)})
        return 0
    try:
        channel.send({"ready": pack_facts(host.facts)})
        worker = Worker(host, channel)
        while (packet := read_packet(questions)) is not None:
            worker.take(packet)
    finally:
        # Native code that does not come to an end must not keep the process.
        impatience = threading.Timer(_PATIENCE_S, os._exit, (1,))
        impatience.daemon = True
        impatience.start()
        host.close()
    return 0


def open_pipes() -> tuple[IO[bytes], Channel]:
    """The questions and the way back; what native code prints goes to standard error instead."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return sys.stdin.buffer, Channel(replies)


def volunteer_for_oom() -> None:
    """Ask the kernel to end this process first where memory runs out; Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def main(open_host: OpenHost = open_in_process) -> int:
    """Serve the host at the other end of standard input and output."""
    volunteer_for_oom()
    return serve(open_host, *open_pipes())


if __name__ == "__main__":
    sys.exit(main())
