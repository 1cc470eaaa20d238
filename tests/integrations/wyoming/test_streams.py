"""The very bytes of answers, and when they come."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from wyoming.asr import Transcript
from wyoming.client import AsyncClient
from wyoming.event import Event

from edge_llm.integrations.wyoming.reply import Reply
from edge_llm.integrations.wyoming.settings import VoiceSettings
from edge_llm.integrations.wyoming.utterance import Utterance
from edge_llm.prompt.chat_template import CHATML
from edge_llm.types import Answer, Chunk, Timings, ToolCall, Usage
from tests.support.hybrid import DoubtfulBackend, hybrid_async
from tests.support.runtimes import SpokenBackend
from tests.support.voicing import PATIENCE_S, ask, fake_voice, read, read_answer, types, voicing

WITH_TOOLS = CHATML.replace("{%", "{% if tools %}{{ tools }}{% endif %}{%", 1)


async def exchange(uri: str, sent: bytes, last: bytes) -> bytes:
    """All bytes that come back up to the line that ends in `last`."""
    parts = urlsplit(uri)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(sent)
    got = await asyncio.wait_for(reader.readuntil(last), PATIENCE_S)
    writer.close()
    await writer.wait_closed()
    return got


def masked(raw: bytes) -> list[Any]:
    """The JSON values on the wire, with what differs from run to run replaced."""
    text = re.sub(rb'"(trace_id|version)": "[^"]*"', rb'"\1": "*"', raw).decode()
    text = re.sub(r'"(score|threshold|data_length)": [0-9.]+', r'"\1": 0', text)
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


RECORD = {
    "route": "local", "tier": "local", "reason": None, "model": "fake", "confidence": None,
    "score": None, "signal": None, "threshold": None, "cost_usd": 0.0, "degraded": False,
    "trace_id": "*",
}  # fmt: skip
TEXT_ONLY = VoiceSettings(intents="none")
CONTEXT = {"conversation_id": "c1"}
UTTERANCE = b'{"text": "hi", "context": {"conversation_id": "c1"}}'


def framed(kind: str, data: Any = None) -> list[Any]:
    header: dict[str, Any] = {"type": kind, "version": "*"}
    return [header] if data is None else [{**header, "data_length": 0}, data]


def test_the_bytes_of_an_answer_in_text() -> None:
    async def run() -> None:
        async with fake_voice(SpokenBackend("Good morning. It is warm."), TEXT_ONLY) as uri:
            raw = await exchange(
                uri,
                b'{"type": "transcript", "data_length": %d}\n%b' % (len(UTTERANCE), UTTERANCE),
                b'"handled-stop", "version": "%b"}\n' % version(),
            )
        whole = "Good morning. It is warm."
        assert masked(raw) == [
            *framed("handled-start", {"context": CONTEXT}),
            *framed("handled-chunk", {"text": "Good morning."}),
            *framed("handled-chunk", {"text": " It is warm."}),
            *framed("handled", {"text": whole, "context": {**CONTEXT, "edge_llm": RECORD}}),
            *framed("handled-stop"),
        ]

    asyncio.run(run())


def version() -> bytes:
    from wyoming.version import __version__

    return str(__version__).encode()


def test_the_bytes_of_a_command() -> None:
    call = '<tool_call>{"name": "HassTurnOn", "arguments": {"area": "study"}}</tool_call>On.'

    async def run() -> None:
        backend = SpokenBackend(call, chat_template="{{ tools and '' }}" + CHATML)
        # All intents as tools are longer than this fake can read, so it calls of its own accord.
        async with fake_voice(backend, VoiceSettings(intents="own")) as uri:
            raw = await exchange(
                uri,
                b'{"type":"transcript","data":{"text":"hi","context":{"conversation_id":"c1"}}}\n',
                b'"trace_id": "',
            )
        (header, *_) = masked(raw.partition(b"\n")[0])
        assert header == framed("intent", 0)[0]
        body = raw.partition(b"\n")[2].decode()
        assert body.startswith(
            '{"name": "HassTurnOn", "entities": [{"name": "area", "value": "study"}], '
            '"text": "On.", "context": {"conversation_id": "c1", "edge_llm": {"route": "local"'
        )

    asyncio.run(run())


class GatedBackend(DoubtfulBackend):
    """Says its reply up to a position, and the rest only once it may."""

    def __init__(self, reply: str, stops_at: int, **changes: Any) -> None:
        self.gate = threading.Event()
        self._stops_at = stops_at
        super().__init__(reply, self._sure, **changes)

    def _sure(self, position: int) -> float:
        if position == self._stops_at:
            assert self.gate.wait(PATIENCE_S)
        return 0.999

    def _say(self, tokens: Any) -> NDArray[np.float32]:
        return super()._say(tokens)


SAID = "It is warm. And later it rains."


def test_the_first_sentence_does_not_wait_for_the_second() -> None:
    async def run() -> None:
        backend = GatedBackend(SAID, stops_at=20)
        async with fake_voice(backend, TEXT_ONLY) as uri:
            await hear_first(uri, backend)

    asyncio.run(run())


def test_nor_where_the_runtime_holds_sentences_back() -> None:
    async def run() -> None:
        backend = GatedBackend(SAID, stops_at=20)
        async with (
            hybrid_async(backend, escalation={"hold": "sentence"}) as (llm, _),
            voicing(llm, TEXT_ONLY) as uri,
        ):
            await hear_first(uri, backend)

    asyncio.run(run())


async def hear_first(uri: str, backend: GatedBackend) -> None:
    try:
        async with AsyncClient.from_uri(uri) as client:
            await client.write_event(Transcript("how is the weather").event())
            first = [await read(client), await read(client)]
            assert [e.type for e in first if e] == ["handled-start", "handled-chunk"]
            assert first[1] is not None
            assert first[1].data["text"] == "It is warm."
            assert not backend.gate.is_set()
            backend.gate.set()
            rest = await read_answer(client)
            assert types(rest) == ["handled-chunk", "handled", "handled-stop"]
    finally:
        backend.gate.set()


def test_a_call_after_words_ends_the_words_and_becomes_an_intent() -> None:
    call = ToolCall("c1", "HassTurnOn", {"area": "study"})
    answer = Answer(
        "At once. Yes.", (call,), "tool_calls", "m", "local", None, None, None, None, None, False,
        Usage(1, 1), Timings(0.1, None, 0.1), 0.0, (), False, False, "t",
    )  # fmt: skip
    sent: list[Event] = []

    async def send(event: Event) -> None:
        sent.append(event)

    async def run() -> None:
        reply = Reply(Utterance("lights", "c1"), send)
        for chunk in (Chunk("At once. Y"), Chunk("es."), Chunk(tool_call=call), Chunk("not yet")):
            await reply.add(chunk)
        assert await reply.finish(answer, is_unsure=False)

    asyncio.run(run())

    assert [event.type for event in sent] == [
        "handled-start",
        "handled-chunk",
        "handled-chunk",
        "handled-stop",
        "intent",
    ]


def test_with_intents_off_a_command_is_refused_and_not_claimed() -> None:
    reply = '<tool_call>{"name": "HassTurnOn", "arguments": {"area": "study"}}</tool_call>On.'

    async def run() -> None:
        backend = SpokenBackend(reply, chat_template=WITH_TOOLS)
        async with fake_voice(backend, TEXT_ONLY) as uri:
            (event,) = await ask(uri, "lights")
        assert (event.type, event.data["text"]) == ("not-handled", "I cannot do that.")

    asyncio.run(run())
