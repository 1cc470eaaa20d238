"""Connections to addresses that were checked, and bodies that end.

Imports the HTTP library of the `openai` package, so only `sdk` imports this module.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from edge_llm.cloud.gate import check_addresses
from edge_llm.cloud.types import Endpoint


class PinnedTransport(httpx2.AsyncHTTPTransport):
    """Resolves the endpoint's host, checks every address, and connects to these and no others.

    So a name that leads elsewhere at the second look cannot take a request off the device.
    """

    def __init__(self, endpoint: Endpoint, *, offline: bool, verify: Any, limits: Any) -> None:
        super().__init__(verify=verify, trust_env=False, limits=limits)
        self._endpoint = endpoint
        self._offline = offline

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """As of the library, by address."""
        host = request.url.host
        addresses = await self._addresses(request, host)
        check_addresses(self._endpoint, addresses, offline=self._offline)
        request.extensions = {**request.extensions, "sni_hostname": host}
        for address in addresses[:-1]:
            try:
                return await self._ask(request, address)
            except httpx2.ConnectError:
                continue
        return await self._ask(request, addresses[-1])

    async def _ask(self, request: httpx2.Request, address: str) -> httpx2.Response:
        request.url = request.url.copy_with(host=address)
        return await super().handle_async_request(request)

    async def _addresses(self, request: httpx2.Request, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        limit_s = self._endpoint.timeouts.connect_s
        try:
            async with asyncio.timeout(limit_s):
                found = await loop.getaddrinfo(host, request.url.port or 0, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpx2.ConnectTimeout("name resolution", request=request) from None
        except (OSError, UnicodeError):
            raise httpx2.ConnectError("name resolution", request=request) from None
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Bounded(httpx2.AsyncByteStream):
    """A body that is taken to end after so many bytes."""

    def __init__(self, stream: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._stream = stream
        self._left = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece[: self._left]
            self._left -= len(piece)
            if self._left <= 0:
                return

    async def aclose(self) -> None:
        await self._stream.aclose()


def bounded(response: httpx2.Response, max_bytes: int) -> None:
    """Let the body of `response` end after so many bytes."""
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, max_bytes)
