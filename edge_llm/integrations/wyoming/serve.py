"""From a runtime to a listening address that speaks Wyoming."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from pathlib import Path

from wyoming.error import Error

from edge_llm.errors import ConfigError
from edge_llm.integrations.wyoming.address import Address, listen, parse_uri, set_keepalive
from edge_llm.integrations.wyoming.agent import Agent
from edge_llm.integrations.wyoming.connection import Connection
from edge_llm.integrations.wyoming.discovery import announced, check_announcement
from edge_llm.integrations.wyoming.settings import DEFAULT_URI, VoiceSettings
from edge_llm.integrations.wyoming.stdio import stdio_socket
from edge_llm.integrations.wyoming.wire import ClientGoneError, write_event
from edge_llm.runtime.async_llm import AsyncEdgeLLM

logger = logging.getLogger(__name__)

CLOSING_S = 1.0
"""How long a client that was told to go may take to go."""

_SKIPPED_AT_ONCE = 1 << 16


async def serve_wyoming(
    llm: AsyncEdgeLLM,
    uri: str = DEFAULT_URI,
    settings: VoiceSettings | None = None,
    *,
    allow_remote: bool = False,
    stop: asyncio.Event | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve `llm` at `uri` until `stop` is set, or, over `stdio://`, until the input ends.

    `uri` is `tcp://host:port`, `unix:///path` or `stdio://`; with port 0, `on_ready` hears which
    one it became. `llm` is opened if it is not, and stays open.

    Raises:
        ConfigError: the address cannot be had, or is not of this machine alone and
            `allow_remote` does not say that this is meant.
        ModelError: the model cannot be loaded.
    """
    address = parse_uri(uri)
    if address.is_remote and not allow_remote:
        raise ConfigError(
            f"{uri} can be reached from other machines, and Wyoming knows no passwords",
            hint="--allow-remote says that this is meant, in a network that you trust",
        )
    agent = Agent(llm, settings or VoiceSettings())
    if agent.settings.zeroconf_name is not None:
        check_announcement(agent.settings.zeroconf_name, address)
    stop = stop or asyncio.Event()
    try:
        await _serve(agent, address, stop, on_ready or _nobody)
    finally:
        await agent.asker.close()


async def _serve(
    agent: Agent, address: Address, stop: asyncio.Event, on_ready: Callable[[str], None]
) -> None:
    if address.kind == "stdio":
        await agent.llm.open()
        await _serve_stdio(agent, stop, on_ready)
        return
    # First of all, so that a client that comes while the model is loaded waits.
    bound, became = listen(address)
    try:
        await agent.llm.open()
        await _serve_socket(agent, bound, stop, lambda: on_ready(became))
    finally:
        bound.close()
        _clean_up(address)


async def _serve_socket(
    agent: Agent, bound: socket.socket, stop: asyncio.Event, on_listening: Callable[[], None]
) -> None:
    clients = Clients(agent)
    limit = agent.settings.max_data_bytes
    start = asyncio.start_unix_server if bound.family == socket.AF_UNIX else asyncio.start_server
    server = await start(clients.serve, sock=bound, limit=limit)
    try:
        async with _announcement(agent, bound):
            on_listening()
            await stop.wait()
    finally:
        server.close()
        await clients.close()


def _announcement(
    agent: Agent, bound: socket.socket
) -> contextlib.AbstractAsyncContextManager[None]:
    name = agent.settings.zeroconf_name
    if name is None:
        return contextlib.nullcontext()
    host, port = bound.getsockname()[:2]
    return announced(name, host, port)


async def _serve_stdio(agent: Agent, stop: asyncio.Event, on_ready: Callable[[str], None]) -> None:
    with stdio_socket() as both:
        clients = Clients(agent)
        limit = agent.settings.max_data_bytes
        reader, writer = await asyncio.open_unix_connection(sock=both, limit=limit)
        on_ready("stdio://")
        serving = asyncio.ensure_future(clients.serve(reader, writer, ends_with_input=False))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await clients.close()
            await serving


class Clients:
    """All connections of one door, no more than the settings allow."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Future[None]] = set()
        """Of these, and of those that are only being closed."""
        self._is_closing = False

    async def serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        ends_with_input: bool = True,
    ) -> None:
        """Serve one client to its end."""
        task = asyncio.ensure_future(self._serve(reader, writer, ends_with_input=ends_with_input))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await task

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, ends_with_input: bool
    ) -> None:
        try:
            if self._is_closing or len(self._open) >= self._agent.settings.max_clients:
                await self._turn_away(writer)
                return
            peer = writer.get_extra_info("socket")
            if peer is not None:
                set_keepalive(peer)
            connection = Connection(self._agent, reader, writer, ends_with_input=ends_with_input)
            self._open.add(connection)
            try:
                await connection.run()
            finally:
                self._open.discard(connection)
        finally:
            await _close(reader, writer)

    async def close(self) -> None:
        """End all connections; answers under way get their grace."""
        self._is_closing = True
        for connection in self._open:
            connection.close()
        if running := list(self._tasks):
            settings = self._agent.settings
            longest_s = settings.grace_s + settings.write_timeout_s + 2 * CLOSING_S
            await asyncio.wait(running, timeout=longest_s)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _turn_away(self, writer: asyncio.StreamWriter) -> None:
        logger.warning("a client was turned away: there are %d already", len(self._open))
        with contextlib.suppress(ClientGoneError):
            busy = Error("too many clients at once, try again later", "too_many_clients")
            await write_event(busy.event(), writer, self._agent.settings)


async def _close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close a connection; what its client has not taken within a moment is dropped."""
    try:
        async with asyncio.timeout(CLOSING_S):
            # To close with bytes unread would be a reset, which overtakes what was told last.
            writer.write_eof()
            while await reader.read(_SKIPPED_AT_ONCE):
                pass
            writer.close()
            await writer.wait_closed()
    except OSError:  # TimeoutError among them
        writer.transport.abort()


def _nobody(uri: str) -> None:
    """Who need not be told where it listens."""


def _clean_up(address: Address) -> None:
    if address.kind == "unix":
        Path(address.path).unlink(missing_ok=True)
