"""Events in and out of a connection, each within bounds of size and time.

`wyoming`'s own reader believes whatever length a client announces, so events are read here.
Source: wyoming 1.10.2 `event.py`: a line of JSON, then `data_length` bytes of JSON that are merged
over its `data`, then `payload_length` bytes.
"""

from __future__ import annotations

import asyncio
import json
from asyncio import IncompleteReadError, LimitOverrunError
from typing import Any, Protocol

from wyoming.event import Event, async_write_event

from edge_llm.errors import RequestError
from edge_llm.integrations.wyoming.settings import VoiceSettings

_SKIPPED_AT_ONCE = 1 << 16


class MalformedEventError(RequestError):
    """What came is no event, and where the next one begins cannot be known."""

    code = "malformed_event"


class SlowEventError(MalformedEventError):
    """An event was begun and not completed."""

    code = "slow_event"


class ClientGoneError(Exception):
    """The client has left, or accepts nothing."""


class Sink(Protocol):
    """Where bytes go; `asyncio.StreamWriter` is one."""

    def write(self, data: bytes) -> None:
        """Take bytes."""
        ...

    def writelines(self, data: Any) -> None:
        """Take several."""
        ...

    async def drain(self) -> None:
        """Wait until there is room for more."""
        ...


async def read_event(reader: asyncio.StreamReader, settings: VoiceSettings) -> Event | None:
    """The next event; None once the client has said all.

    Raises:
        MalformedEventError: what came is none, or larger or slower than allowed.
        TimeoutError: nothing came for as long as a connection may be idle.
        ClientGoneError: the connection broke.
    """
    try:
        async with asyncio.timeout(settings.idle_timeout_s):
            first = await reader.read(1)
        if not first:
            return None
        limit = asyncio.timeout(settings.event_timeout_s)
        try:
            async with limit:
                return await _read_rest(first, reader, settings)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise SlowEventError("an event was not completed in time") from exc
    except IncompleteReadError:
        return None
    except (ConnectionError, OSError) as exc:
        if isinstance(exc, TimeoutError):
            raise
        raise ClientGoneError from exc


async def _read_rest(first: bytes, reader: asyncio.StreamReader, settings: VoiceSettings) -> Event:
    try:
        line = first if first == b"\n" else first + await reader.readuntil(b"\n")
    except LimitOverrunError as exc:
        raise MalformedEventError("the line of an event is too long") from exc
    header = _object(line)
    kind, data = header.get("type"), header.get("data")
    data_length = _length(header, "data_length", settings.max_data_bytes)
    payload_length = _length(header, "payload_length", settings.max_payload_bytes)
    if not isinstance(kind, str) or not kind:
        raise MalformedEventError("an event needs a type")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise MalformedEventError("the data of an event must be an object")
    if data_length:
        data |= _object(await reader.readexactly(data_length))
    while payload_length:
        skipped = await reader.readexactly(min(payload_length, _SKIPPED_AT_ONCE))
        payload_length -= len(skipped)
    return Event(kind, data)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise MalformedEventError("an event is a JSON object") from None
    if not isinstance(value, dict):
        raise MalformedEventError("an event is a JSON object")
    return value


def _length(header: dict[str, Any], name: str, most: int) -> int:
    value = header.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise MalformedEventError(f"{name} must be a number from 0 to {most}")
    return value


async def write_event(event: Event, sink: Sink, settings: VoiceSettings) -> None:
    """Send an event.

    Raises:
        ClientGoneError: nobody takes it, or not in time.
    """
    try:
        async with asyncio.timeout(settings.write_timeout_s):
            await async_write_event(event, sink)  # type: ignore[arg-type]
    except OSError as exc:  # TimeoutError and a closed connection among them
        raise ClientGoneError from exc
