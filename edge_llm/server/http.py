"""Bodies in and out, and work that ends when its caller leaves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from starlette.types import Message, Receive, Send

from edge_llm.errors import EdgeLLMError, InvalidParameterError, RequestError
from edge_llm.server.errors import error_headers, error_object

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 << 20


class BodyTooLargeError(RequestError):
    """More than any conversation needs."""

    code = "body_too_large"
    status_code = 413


class CallerLeftError(Exception):
    """The client closed the connection before its request had come in."""


class InternalError(EdgeLLMError):
    """Something that nobody foresaw; the log tells more."""

    code = "internal_error"


async def read_json(scope: Mapping[str, Any], receive: Receive) -> Any:
    """The JSON of a request's body.

    Only what says that it is JSON counts, so that no web page can post here by a form.

    Raises:
        RequestError: it is none, or too large.
        CallerLeftError: it never came in whole.
    """
    kind = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise InvalidParameterError("the content type must be application/json")
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeftError
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError(f"the body is larger than {MAX_BODY_BYTES} bytes")
        more = message.get("more_body", False)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidParameterError("the body is not JSON") from None


async def send_json(
    send: Send, status: int, body: Any, headers: Mapping[str, str] | None = None
) -> None:
    """One whole response."""
    content = json.dumps(body, ensure_ascii=False).encode()
    await send(
        _start(status, "application/json", {**(headers or {}), "content-length": str(len(content))})
    )
    await send({"type": "http.response.body", "body": content})


async def send_error(send: Send, error: EdgeLLMError) -> None:
    """One whole response that tells of an error."""
    await send_json(send, error.status_code, error_object(error), error_headers(error))


class EventStream:
    """A response of server-sent events; begins with the first of them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.began = False

    async def event(self, body: Any) -> None:
        """One event; a text goes out as it is."""
        if not self.began:
            self.began = True
            headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
            await self._send(_start(200, "text/event-stream", headers))
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        await self._send(
            {"type": "http.response.body", "body": f"data: {text}\n\n".encode(), "more_body": True}
        )

    async def end(self) -> None:
        """Nothing more."""
        await self._send({"type": "http.response.body", "body": b""})


async def while_connected(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Do `work`, but cancel it as soon as the client has left."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_until_disconnect(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
    if not working.cancelled():
        working.result()


async def _until_disconnect(receive: Receive) -> None:
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()


def _start(status: int, kind: str, headers: Mapping[str, str]) -> Message:
    pairs = {"content-type": kind, **headers}
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs.items()],
    }
