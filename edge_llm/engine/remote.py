"""A model served by a worker process: a crash in native code ends the worker, never the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from edge_llm.constrain.packing import dump_grammar
from edge_llm.engine.exchange import Exchange
from edge_llm.engine.host import HostSettings, Listener, ModelFacts, ModelHost
from edge_llm.engine.process import WORKER_COMMAND
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.engine.supervisor import Supervisor
from edge_llm.engine.wire import (
    Packet,
    pack_request,
    pack_settings,
    unpack_error,
    unpack_event,
    unpack_prompt,
)
from edge_llm.errors import RequestError
from edge_llm.prompt.encode import EncodedPrompt


@dataclass(frozen=True, slots=True)
class RemoteRequest:
    """The `RequestHandle` of a request that a worker serves."""

    supervisor: Supervisor
    exchange: Exchange

    def abort(self) -> None:
        """See `RequestHandle.abort`."""
        self.supervisor.command(self.exchange, "abort")

    def park(self) -> None:
        """See `RequestHandle.park`."""
        self.supervisor.command(self.exchange, "park")

    def resume(self) -> None:
        """See `RequestHandle.resume`."""
        self.supervisor.command(self.exchange, "resume")


class RemoteHost(ModelHost):
    """A loaded model in a process of its own, which is started again when it dies."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor

    @property
    def facts(self) -> ModelFacts:
        """See `ModelHost.facts`."""
        return self.supervisor.facts

    @property
    def is_loaded(self) -> bool:
        """See `ModelHost.is_loaded`: requests wait for a worker without blocking their caller."""
        return True

    def encode(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> EncodedPrompt:
        """See `ModelHost.encode`."""
        question = {"op": "encode", "messages": plain(messages), "tools": plain(tools)}
        reply: Future[Packet] = Future()
        self.supervisor.submit(
            Exchange(lambda: dict(question), reply.set_result, reply.set_exception)
        )
        packet = reply.result()
        if "error" in packet:
            raise unpack_error(packet["error"])
        return unpack_prompt(packet["prompt"])

    def submit(self, request: EngineRequest, listener: Listener) -> RemoteRequest:
        """See `ModelHost.submit`."""
        exchange = Exchange(
            pack=lambda: {"op": "generate", **pack_request(request)},
            receive=lambda packet: listener(unpack_event(packet["id"], packet["event"])),
            fail=lambda error: listener(SequenceEvent(-1, error=error)),
        )
        try:
            if request.grammar is not None:
                dump_grammar(request.grammar)  # here, so that its caller hears what it cannot hold
            self.supervisor.submit(exchange)
        except RequestError as refusal:
            exchange.fail(refusal)
        return RemoteRequest(self.supervisor, exchange)

    def close(self) -> None:
        """See `ModelHost.close`."""
        self.supervisor.close()


def open_remote(settings: HostSettings, command: Sequence[str] = WORKER_COMMAND) -> RemoteHost:
    """The model in a worker process; blocks while it loads.

    Raises:
        ModelError: the model cannot be run here.
        EngineCrashedError: loading it ended the worker.
    """
    supervisor = Supervisor(pack_settings(settings), command)
    supervisor.open()
    return RemoteHost(supervisor)


def plain(value: Any) -> Any:
    """`value` with any mapping and sequence in it as the kinds that JSON knows."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item) for item in value]
    return value
