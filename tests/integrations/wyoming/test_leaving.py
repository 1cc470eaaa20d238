"""Clients that leave, doors that close: the model stops, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from wyoming.asr import Transcript
from wyoming.client import AsyncClient

from edge_llm.integrations.wyoming.agent import Agent
from edge_llm.integrations.wyoming.connection import Connection
from edge_llm.integrations.wyoming.settings import VoiceSettings
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from tests.server.test_openai_client import EndlessBackend
from tests.support.hybrid import scripted
from tests.support.runtimes import local_model
from tests.support.voicing import PATIENCE_S, ask, fake_voice, read, types

TEXT_ONLY = VoiceSettings(intents="none")


def noting_end(backend: EndlessBackend, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once the model was told to stop."""
    ended, free = threading.Event(), backend.free

    def noted(seq: int) -> None:
        free(seq)
        ended.set()

    monkeypatch.setattr(backend, "free", noted)
    return ended


async def happens(event: threading.Event) -> bool:
    return await asyncio.to_thread(event.wait, PATIENCE_S)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_who_closes_the_socket_stops_the_model(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = EndlessBackend()
    ended = noting_end(backend, monkeypatch)

    async def run() -> None:
        async with fake_voice(backend, TEXT_ONLY, prefix_slots=0) as uri:
            parts = urlsplit(uri)
            with socket.create_connection((parts.hostname, parts.port)) as raw:
                raw.sendall(b'{"type":"transcript","data":{"text":"talk"}}\n')
                assert await happens(backend.speaks)
                if how == "reset":
                    linger = b"\x01\0\0\0\0\0\0\0"
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if how == "half":
                    raw.shutdown(socket.SHUT_WR)
                    assert await happens(ended)
            assert await happens(ended)

    asyncio.run(run())


class FullSink:
    """Takes what fits nowhere: a client that does not read and does not leave."""

    def write(self, data: bytes) -> None:
        pass

    def writelines(self, data: Any) -> None:
        pass

    async def drain(self) -> None:
        await asyncio.Event().wait()


class ChattyBackend(EndlessBackend):
    """Short sentences without an end."""

    def _say(self, tokens: Any) -> NDArray[np.float32]:
        row = super()._say(tokens)
        row[ord("Ab! "[len(tokens) % 4])] = 60.0
        return row


def test_a_client_that_reads_nothing_is_left_alone_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = ChattyBackend()
    ended = noting_end(backend, monkeypatch)
    settings = VoiceSettings(intents="none", write_timeout_s=0.2, deadline_s=10 * PATIENCE_S)

    async def run() -> None:
        with scripted(local_model(backend)):
            async with AsyncEdgeLLM(prefix_slots=0) as llm:
                reader = asyncio.StreamReader()
                reader.feed_data(b'{"type":"transcript","data":{"text":"talk"}}\n')
                connection = Connection(Agent(llm, settings), reader, FullSink())
                await asyncio.wait_for(connection.run(), PATIENCE_S)
                assert await happens(ended)

    asyncio.run(run())


def test_an_answer_under_way_has_its_grace_and_then_an_honest_end() -> None:
    backend = EndlessBackend()

    async def run() -> None:
        settings = VoiceSettings(intents="none", grace_s=0.1)
        client: AsyncClient
        async with fake_voice(backend, settings, prefix_slots=0) as uri:
            client = AsyncClient.from_uri(uri)
            await client.connect()
            await client.write_event(Transcript("talk").event())
            assert await happens(backend.speaks)
        event = await read(client)
        assert event is not None
        assert (event.type, event.data["code"]) == ("error", "shutting_down")
        assert await read(client) is None
        await client.disconnect()

    asyncio.run(run())


def test_an_idle_client_is_let_go_when_the_door_closes() -> None:
    async def run() -> None:
        async with fake_voice(EndlessBackend(), TEXT_ONLY) as uri:
            client = AsyncClient.from_uri(uri)
            await client.connect()
            parts = urlsplit(uri)
        assert await read(client) is None
        await client.disconnect()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(parts.hostname, parts.port)

    asyncio.run(run())


def test_an_answer_that_takes_too_long_is_cut_and_told() -> None:
    async def run() -> None:
        settings = VoiceSettings(intents="none", deadline_s=0.5)
        async with fake_voice(EndlessBackend(), settings, prefix_slots=0) as uri:
            events = await ask(uri, "talk")
        assert types(events)[-1] in ("handled-stop", "not-handled", "error")

    asyncio.run(run())
