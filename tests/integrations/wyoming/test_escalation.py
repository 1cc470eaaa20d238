"""Two tiers behind the door: what goes up, what comes back as an intent, what stays."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest import mock

from wyoming.intent import Intent

from edge_llm.integrations.wyoming.settings import VoiceSettings
from edge_llm.routing.base import HealthFacts
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from tests.support.cloud_server import CloudServer
from tests.support.hybrid import LOCAL, DoubtfulBackend, cloud, hybrid_async
from tests.support.voicing import ask, types, voicing

OWN = VoiceSettings(intents="own")

CLOUD_CALL = """
tool 0 c1 HassTurnOn {"area":"study"}
finish tool_calls
usage 9 3
done
"""
CLOUD_TEXT = """
say From
say \\u0020the\\u0020cloud.
finish stop
usage 9 3
done
"""


def unsure() -> DoubtfulBackend:
    return DoubtfulBackend("I'm not sure about that.", unsure=0.9)


def run(
    text: str, *scripts: str, backend: DoubtfulBackend, voice: VoiceSettings = OWN, **options: Any
) -> tuple[list[Any], CloudServer]:
    async def talk() -> tuple[list[Any], CloudServer]:
        async with (
            hybrid_async(backend, *scripts, **options) as (llm, server),
            voicing(llm, voice) as uri,
        ):
            return await ask(uri, text, area="Kitchen"), server

    return asyncio.run(talk())


def test_what_the_local_model_is_unsure_of_is_answered_by_the_cloud() -> None:
    events, server = run("who wrote Hamlet?", CLOUD_TEXT, backend=unsure())

    assert types(events) == ["handled-start", "handled-chunk", "handled", "handled-stop"]
    assert events[-2].data["text"] == "From the cloud."
    assert events[-2].data["context"]["edge_llm"]["route"] == "cloud"
    assert len(server.requests) == 1


def test_a_call_of_the_cloud_is_an_intent_and_it_is_told_of_the_home() -> None:
    events, server = run("make it cosy", CLOUD_CALL, backend=unsure())

    (event,) = events
    assert Intent.from_event(event).name == "HassTurnOn"
    body = server.requests[0].json
    assert "HassTurnOn" in [tool["function"]["name"] for tool in body["tools"]]
    assert "Kitchen" in json.dumps(body["messages"])


def test_what_the_local_model_knows_is_asked_of_nobody_else() -> None:
    call = '<tool_call>{"name": "HassTurnOff", "arguments": {"name": "TV"}}</tool_call>Off.'
    events, server = run("tv off", backend=DoubtfulBackend(call, unsure=0.01))

    assert Intent.from_event(events[0]).name == "HassTurnOff"
    assert server.requests == []


def test_what_must_not_leave_is_answered_here_or_not_at_all() -> None:
    local = VoiceSettings(intents="own", request_options={"privacy": "local_only"})
    events, server = run("who am I?", backend=unsure(), voice=local)

    assert types(events) == ["not-handled"]
    assert events[0].data["text"] == "I'm not sure about that."
    assert server.requests == []


def test_without_a_network_it_says_so_instead_of_nothing() -> None:
    events, _ = run("who wrote Hamlet?", "status 503\nbody down", backend=unsure())

    assert types(events) == ["not-handled"]
    assert events[0].data["text"]


def test_a_call_of_no_intent_is_not_passed_on() -> None:
    script = CLOUD_CALL.replace("HassTurnOn", "open_the_safe")
    events, _ = run("hm", script, backend=unsure())

    assert types(events) == ["not-handled"]


def test_the_built_in_model_keeps_what_it_knows_and_passes_on_what_not() -> None:
    async def talk() -> tuple[list[Any], list[Any], int]:
        with (
            CloudServer(CLOUD_TEXT) as server,
            mock.patch("edge_llm.runtime.health.read_health", return_value=HealthFacts()),
        ):
            tiers = [LOCAL, cloud(server)]
            async with (
                AsyncEdgeLLM(tiers=tiers, privacy={"label": "allow"}) as llm,
                voicing(llm) as uri,
            ):
                home = await ask(uri, "turn on the kitchen lights")
                assert server.requests == []
                return home, await ask(uri, "who wrote Hamlet?"), len(server.requests)

    home, world, asked = asyncio.run(talk())

    assert types(home) == ["intent"]
    assert world[-2].data["text"] == "From the cloud."
    assert asked == 1
