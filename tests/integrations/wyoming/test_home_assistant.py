"""The built-in model behind a real socket, asked as Home Assistant asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from wyoming.asr import Transcript
from wyoming.client import AsyncClient
from wyoming.event import Event
from wyoming.handle import Handled, HandledChunk
from wyoming.info import Describe, Info
from wyoming.intent import Intent, Recognize
from wyoming.ping import Ping

from edge_llm.integrations.wyoming.settings import VoiceSettings
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from tests.support.voicing import ask, read, read_answer, types, voicing

Asked = Callable[[str], Coroutine[Any, Any, list[Event]]]


def with_builtin(
    work: Callable[[str], Coroutine[Any, Any, None]], settings: VoiceSettings | None = None
) -> None:
    async def run() -> None:
        async with AsyncEdgeLLM() as llm, voicing(llm, settings) as uri:
            await work(uri)

    asyncio.run(run())


def slots(event: Event) -> dict[str, Any]:
    return {entity.name: entity.value for entity in Intent.from_event(event).entities}


def test_what_home_assistant_reads_of_the_description() -> None:
    async def work(uri: str) -> None:
        async with AsyncClient.from_uri(uri) as client:
            await client.write_event(Describe().event())
            event = await read(client)
        assert event is not None
        info = Info.from_event(event)

        assert [(p.name, p.installed) for p in info.intent] == [("edge-llm", True)]
        assert [(p.name, p.installed) for p in info.handle] == [("edge-llm", True)]
        assert info.handle[0].supports_handled_streaming
        assert info.handle[0].supports_home_control
        assert info.intent[0].models[0].installed
        assert info.intent[0].models[0].languages == ["en"]
        assert not info.asr
        assert not info.tts

    with_builtin(work)


def test_home_commands_become_intents() -> None:
    async def work(uri: str) -> None:
        (event,) = await ask(uri, "turn on the kitchen lights")
        assert Intent.from_event(event).name == "HassTurnOn"
        assert slots(event) == {"area": "kitchen", "domain": "light"}
        assert Intent.from_event(event).text == "Turning on the kitchen lights."

        several = await ask(uri, "turn on the kitchen lights and set the bedroom to 21 degrees")
        assert types(several) == ["intents-start", "intent", "intent", "intents-stop"]
        assert slots(several[2]) == {"area": "bedroom", "temperature": 21}
        # The words speak of both, and are said once.
        assert [Intent.from_event(e).text is None for e in several[1:3]] == [False, True]

    with_builtin(work)


def test_a_question_about_the_home_is_answered_by_what_the_home_finds() -> None:
    async def work(uri: str) -> None:
        (event,) = await ask(uri, "is the garage door open?")
        intent = Intent.from_event(event)

        assert intent.name == "HassGetState"
        assert slots(event) == {"name": "garage door", "state": ["open", "on"]}
        assert intent.text is not None
        assert "query.matched" in intent.text

    with_builtin(work)


def test_a_conversation_goes_on_and_stays_apart_from_others() -> None:
    async def work(uri: str) -> None:
        await ask(uri, "turn on the kitchen lights", conversation_id="a")
        (event,) = await ask(uri, "and the bedroom too", conversation_id="a")
        assert slots(event) == {"area": "bedroom", "domain": "light"}
        assert event.data["context"]["conversation_id"] == "a"

        other = await ask(uri, "and the bedroom too", conversation_id="b")
        assert not any(event.data.get("name") == "HassTurnOn" for event in other)

    with_builtin(work)


def test_one_connection_is_one_conversation_where_nobody_names_one() -> None:
    async def work(uri: str) -> None:
        async with AsyncClient.from_uri(uri) as client:
            for text in ("turn on the kitchen lights", "and the bedroom too"):
                await client.write_event(Transcript(text).event())
                (event,) = await read_answer(client)
        assert slots(event) == {"area": "bedroom", "domain": "light"}

    with_builtin(work)


def test_text_is_told_in_sentences_and_once_more_whole() -> None:
    async def work(uri: str) -> None:
        events = await ask(uri, "hello", conversation_id="c")
        chunks = [HandledChunk.from_event(e).text for e in events if HandledChunk.is_type(e.type)]

        assert types(events) == [
            "handled-start",
            *["handled-chunk"] * len(chunks),
            "handled",
            "handled-stop",
        ]
        assert len(chunks) == 2
        assert "".join(chunks) == Handled.from_event(events[-2]).text
        record = events[-2].data["context"]["edge_llm"]
        assert record["route"] == "local"
        assert record["model"] == "builtin"

    with_builtin(work)


def test_what_nobody_here_knows_is_not_handled_and_says_so() -> None:
    async def work(uri: str) -> None:
        (event,) = await ask(uri, "who wrote Hamlet?")
        assert event.type == "not-handled"
        assert event.data["text"] == "I'm not sure about that."

        (event,) = await ask(uri, " ")
        assert event.type == "not-handled"
        assert event.data["text"]

    with_builtin(work)


def test_recognising_gives_intents_or_says_that_there_are_none() -> None:
    async def work(uri: str) -> None:
        async with AsyncClient.from_uri(uri) as client:
            await client.write_event(Recognize("turn off the TV").event())
            (event,) = await read_answer(client)
            assert slots(event) == {"name": "TV"}
            await client.write_event(Recognize("hello").event())
            (event,) = await read_answer(client)
            assert event.type == "not-recognized"
            assert event.data["text"].startswith("Hello")

    with_builtin(work)


def test_without_intents_there_is_only_text() -> None:
    async def work(uri: str) -> None:
        async with AsyncClient.from_uri(uri) as client:
            await client.write_event(Describe().event())
            event = await read(client)
            assert event is not None
            info = Info.from_event(event)
            assert not info.intent
            assert not info.handle[0].supports_home_control
        events = await ask(uri, "hello")
        assert events[-1].type == "handled-stop"

    with_builtin(work, VoiceSettings(intents="none"))


def test_a_ping_is_answered() -> None:
    async def work(uri: str) -> None:
        async with AsyncClient.from_uri(uri) as client:
            await client.write_event(Ping("still there?").event())
            event = await read(client)
        assert event is not None
        assert (event.type, event.data) == ("pong", {"text": "still there?"})

    with_builtin(work)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_many_clients_at_once_each_get_their_own_answer(kind: str, tmp_path: Any) -> None:
    rooms = ["kitchen", "bedroom", "bathroom", "garage", "hallway", "office", "attic", "basement"]

    async def run() -> None:
        uri = "tcp://127.0.0.1:0" if kind == "tcp" else f"unix://{tmp_path}/voice.sock"
        async with AsyncEdgeLLM() as llm, voicing(llm, uri=uri) as uri:
            answers = await asyncio.gather(
                *(ask(uri, f"turn on the {room} lights") for room in rooms)
            )
        assert [slots(events[0])["area"] for events in answers] == rooms

    asyncio.run(run())
