"""MCP servers as sources of tools: the door to the `mcp` package (the extra `mcp`).

Source: https://modelcontextprotocol.io, read 2026-11-22. A connection lives on an event loop of its
own, so that it serves scripts, threads and asynchronous code alike, and its end is nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import re
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from edge_llm.config.offline import is_offline
from edge_llm.errors import ToolError, ToolServerError
from edge_llm.runtime.llm import BackgroundLoop
from edge_llm.runtime.tools.types import Tool

if TYPE_CHECKING:
    from mcp import Client

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PAGES = 100
"""Of a server's list of tools."""

READ_TIMEOUT_S = 300.0

_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(eq=False)
class MCPServer:
    """One server, reached while `with` or `async with` lasts; hand it to `run` among the tools.

    Either a command, whose process talks over its standard input and output, or the `url` of a
    server that speaks streamable HTTP.
    """

    command: Sequence[str] | None = None
    url: str | None = None
    name: str | None = None
    """Stands before the names of tools that another tool has; None takes the server's own."""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """For the command, beside the few variables that are passed on."""
    cwd: str | os.PathLike[str] | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """For the address, such as `Authorization`."""
    connect_timeout_s: float = 20.0
    timeout_s: float = 30.0
    """Of one call."""
    needs_approval: bool | None = None
    """Whether `approve` is asked before each call; None: for tools that the server itself calls
    destructive."""
    privacy: str | None = None
    """Label of its results; see `Tool.privacy`."""

    def __post_init__(self) -> None:
        if (self.command is None) == (self.url is None):
            raise ToolError("an MCP server has either a command or a url")
        if isinstance(self.command, str) or self.command == []:
            raise ToolError("command must be a list: ['python', 'server.py']")
        if self.url is not None and not re.match(r"https?://[^/]", self.url):
            raise ToolError("the url of an MCP server begins with http:// or https://")
        self._background: BackgroundLoop | None = None
        self._client: Client | None = None
        self._closing: asyncio.Event | None = None

    # Opening and closing

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.open)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def open(self) -> None:
        """Start or reach the server, unless that was done; blocks.

        Raises:
            ToolServerError: it does not start, or does not answer in time.
            ToolError: the package `mcp` is not installed.
        """
        if self._background is not None:
            return
        _require_package()
        self._refuse_offline()
        self._background = BackgroundLoop()
        try:
            self._background.run(self._connect())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection, and the process where there is one; a second call is harmless."""
        background, self._background = self._background, None
        if background is not None:
            if self._closing is not None:
                background.run(_set(self._closing))
            background.close()
        self._client = None

    # What `run` asks

    async def list_tools(self) -> Sequence[Tool]:
        """What the server offers now.

        Raises:
            ToolServerError: it is not open, died, or does not answer.
        """
        listed = await self._on_loop(self._list, self.connect_timeout_s)
        return [self._tool(one) for one in listed]

    def _tool(self, listed: Any) -> Tool:
        own_name: str = listed.name

        async def call(arguments: Mapping[str, Any]) -> str:
            return await self._on_loop(
                lambda client: self._call(client, own_name, arguments), self.timeout_s
            )

        hints = listed.annotations
        is_destructive = bool(hints and hints.destructive_hint and not hints.read_only_hint)
        return Tool(
            name=_NO_NAME.sub("_", own_name)[:64],
            description=listed.description or listed.title or "",
            parameters=listed.input_schema,
            call=call,
            is_async=True,
            timeout_s=self.timeout_s,
            needs_approval=is_destructive if self.needs_approval is None else self.needs_approval,
            privacy=self.privacy,
        )

    async def _on_loop(self, work: Callable[[Client], Coroutine[Any, Any, T]], limit_s: float) -> T:
        """What `work` returns, done where the connection lives; cancelled with its caller."""
        background, client = self._background, self._client
        if background is None or client is None:
            why = "is not open" if background is None else "has died"
            raise ToolServerError(f"the MCP server {self._shown} {why}", hint="use it in `with`")
        return await asyncio.wrap_future(background.start(self._guarded(work(client), limit_s)))

    async def _guarded(self, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        """The result of `work`, with the package's errors told in our words."""
        from mcp.shared.exceptions import MCPError

        try:
            async with asyncio.timeout(limit_s):
                return await work
        except MCPError as exc:
            # Any other error is an answer of the server, which goes on.
            closed = exc.code == _CONNECTION_CLOSED
            raise (self._died(exc) if closed else ToolError(str(exc))) from exc
        except TimeoutError:
            raise ToolServerError(
                f"the MCP server {self._shown} did not answer in {limit_s:g} seconds"
            ) from None
        except ToolError:
            raise
        except Exception as exc:
            raise self._died(exc) from exc

    def _died(self, exc: Exception) -> ToolServerError:
        return ToolServerError(f"the MCP server {self._shown} failed: {exc or type(exc).__name__}")

    # On the connection's own loop

    async def _connect(self) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        task = asyncio.create_task(self._hold(ready, self._closing))
        try:
            async with asyncio.timeout(self.connect_timeout_s):
                await asyncio.shield(ready)
        except TimeoutError:
            task.cancel()
            raise ToolServerError(
                f"the MCP server {self._shown} said nothing for {self.connect_timeout_s:g} seconds",
                hint="raise connect_timeout_s, or look at what it writes to standard error",
            ) from None

    async def _hold(self, ready: asyncio.Future[None], closing: asyncio.Event) -> None:
        """Keep the connection: what opened it has to close it, in the same task."""
        from mcp import Client

        try:
            async with contextlib.AsyncExitStack() as stack:
                transport = await self._transport(stack)
                client = await stack.enter_async_context(Client(transport))
                self._client = client
                if self.name is None:
                    info = client.server_info
                    self.name = _NO_NAME.sub("_", info.name) if info is not None else "mcp"
                ready.set_result(None)
                await closing.wait()
        except Exception as exc:
            logger.debug("the MCP server %s failed", self._shown, exc_info=exc)
            if not ready.done():
                ready.set_exception(
                    ToolServerError(
                        f"the MCP server {self._shown} cannot be reached: {_innermost(exc)}",
                        hint="start it by hand to see what it says",
                    )
                )
        finally:
            self._client = None

    async def _transport(self, stack: contextlib.AsyncExitStack) -> Any:
        if self.url is not None:
            import httpx2
            from mcp.client.streamable_http import streamable_http_client

            # A server may hold a stream open; each call has a limit of its own.
            patience = httpx2.Timeout(self.timeout_s, read=READ_TIMEOUT_S)
            http_client = httpx2.AsyncClient(headers=dict(self.headers), timeout=patience)
            await stack.enter_async_context(http_client)
            return streamable_http_client(self.url, http_client=http_client)
        from mcp.client.stdio import StdioServerParameters, stdio_client

        program, *arguments = [str(part) for part in self.command or ()]
        parameters = StdioServerParameters(
            command=program,
            args=arguments,
            env=dict(self.env) or None,
            cwd=None if self.cwd is None else os.fspath(self.cwd),
        )
        return stdio_client(parameters, errlog=sys.__stderr__ or sys.stderr)

    async def _list(self, client: Client) -> list[Any]:
        found: list[Any] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def _call(self, client: Client, name: str, arguments: Mapping[str, Any]) -> str:
        result = await client.call_tool(name, dict(arguments))
        text = _text(result)
        if result.is_error:
            raise ToolError(text or "the tool failed and did not say why")
        return text

    # Words

    @property
    def _shown(self) -> str:
        if self.url is not None:
            parts = urlsplit(self.url)
            where = parts.netloc.rpartition("@")[2]
            return repr(f"{parts.scheme}://{where}{parts.path}")
        return repr(" ".join(str(part) for part in self.command or ()))

    def _refuse_offline(self) -> None:
        if self.url is not None and is_offline() and not _is_loopback(self.url):
            raise ToolServerError(
                f"the MCP server {self._shown} is on another machine, and EDGE_LLM_OFFLINE is set"
            )


_CONNECTION_CLOSED = -32000
"""Source: `mcp_types.CONNECTION_CLOSED`."""


async def _set(event: asyncio.Event) -> None:
    event.set()


def _require_package() -> None:
    try:
        import mcp  # noqa: F401
    except ImportError as exc:
        raise ToolError(
            "MCP servers need the package mcp", hint="pip install 'edge-llm[mcp]'"
        ) from exc
    # A server that prints other things than messages is worth a traceback for each line to the
    # package. It goes to the log of whoever keeps one, and not to everybody's standard error.
    log = logging.getLogger("mcp")
    if not any(isinstance(one, logging.NullHandler) for one in log.handlers):
        log.addHandler(logging.NullHandler())


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _innermost(exc: BaseException) -> str:
    """What went wrong, out of the groups that task groups put around it."""
    while isinstance(exc, BaseExceptionGroup) and exc.exceptions:
        exc = exc.exceptions[0]
    return str(exc) or type(exc).__name__


def _text(result: Any) -> str:
    """A result as text; what is none is named."""
    from edge_llm.runtime.structured.python_type import to_json

    parts = [_part(block) for block in result.content]
    if not parts and result.structured_content is not None:
        return to_json(result.structured_content)
    return "\n".join(parts)


def _part(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, left out]"
        case "resource_link":
            return f"[{block.name}: {block.uri}]"
        case "resource":
            text = getattr(block.resource, "text", None)
            return str(text) if text is not None else f"[{block.resource.uri}, left out]"
    return f"[{block.type}, left out]"
