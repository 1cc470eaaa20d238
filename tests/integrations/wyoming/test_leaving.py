"""Clients that leave, doors that close: the model stops, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from wyoming.asr import Transcript
from wyoming.client import AsyncClient

from edge_llm.integrations.wyoming.settings import VoiceSettings
from tests.server.test_openai_client import EndlessBackend
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


def test_a_client_that_reads_nothing_is_left_alone_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = EndlessBackend()
    backend_says = "ab! "
    monkeypatch.setattr(backend, "_say", sentences(backend, backend_says))
    ended = noting_end(backend, monkeypatch)
    settings = VoiceSettings(intents="none", write_timeout_s=0.2, deadline_s=PATIENCE_S)

    async def run() -> None:
        async with fake_voice(backend, settings, prefix_slots=0) as uri:
            parts = urlsplit(uri)
            with socket.socket() as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
                raw.connect((parts.hostname, parts.port))
                raw.sendall(b'{"type":"transcript","data":{"text":"talk"}}\n')
                # Reads not a byte, and does not leave.
                assert await happens(ended)

    asyncio.run(run())


def sentences(backend: EndlessBackend, text: str) -> Any:
    """Many short sentences without an end."""
    import numpy as np

    def say(tokens: Any) -> Any:
        backend.speaks.set()
        row = np.zeros(backend.tokenizer.vocab_size, np.float32)
        row[ord(text[len(tokens) % len(text)])] = 30.0
        return row

    return say


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
