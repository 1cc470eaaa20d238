"""The voice door over real sockets, and a client that behaves as Home Assistant does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

from wyoming.asr import Transcript
from wyoming.client import AsyncClient
from wyoming.event import Event

from edge_llm.backends.fake import FakeBackend
from edge_llm.integrations.wyoming.serve import serve_wyoming
from edge_llm.integrations.wyoming.settings import VoiceSettings
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from tests.support.runtimes import local_model

PATIENCE_S = 60.0
"""So long a test waits for what should come at once; how fast it comes is not tested."""

LAST = ("handled-stop", "not-handled", "not-recognized", "intents-stop", "error")


@asynccontextmanager
async def voicing(
    llm: AsyncEdgeLLM, settings: VoiceSettings | None = None, uri: str = "tcp://127.0.0.1:0"
) -> AsyncIterator[str]:
    """The URI of a door to `llm`; closed at the end as by a signal."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(
        serve_wyoming(llm, uri, settings, stop=stop, on_ready=ready.set_result)
    )
    try:
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        yield await ready
    finally:
        stop.set()
        await serving


@asynccontextmanager
async def fake_voice(
    backend: FakeBackend, settings: VoiceSettings | None = None, **options: Any
) -> AsyncIterator[str]:
    """The same over a scripted model."""
    model = local_model(backend)
    with mock.patch("edge_llm.runtime.async_llm.load_local_model", return_value=model):
        async with AsyncEdgeLLM(**options) as llm, voicing(llm, settings) as uri:
            yield uri


async def read(client: AsyncClient) -> Event | None:
    """The next event."""
    return await asyncio.wait_for(client.read_event(), PATIENCE_S)


async def read_answer(client: AsyncClient) -> list[Event]:
    """All events of one answer."""
    events: list[Event] = []
    in_list = False
    while True:
        event = await read(client)
        assert event is not None, [e.type for e in events]
        events.append(event)
        in_list = in_list or event.type == "intents-start"
        if event.type in LAST or (event.type == "intent" and not in_list):
            return events


async def ask(uri: str, text: str, **context: Any) -> list[Event]:
    """What is answered to an utterance on a connection of its own, as Home Assistant asks."""
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(Transcript(text, context=context or None, language="en").event())
        return await read_answer(client)


def types(events: list[Event]) -> list[str]:
    """What kinds of events they are, in order."""
    return [event.type for event in events]
