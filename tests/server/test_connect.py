"""`edge_llm.connect`: the same Python API over a running server."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import edge_llm
from edge_llm import errors
from edge_llm.runtime.reading import read_answer
from edge_llm.types import Answer, Chunk, RequestOptions
from tests.server.test_openai_client import EndlessBackend
from tests.support.cloud_server import OK, CloudServer, refused_url
from tests.support.runtimes import SpokenBackend, fake_runtime, spell_calls
from tests.support.serving import served

REPLY = "<think>Let me see.</think>Good morning. 🙂"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(SpokenBackend(REPLY)) as url:
        yield url


def comparable(answer: Answer) -> Answer:
    """An answer without what no two answers share."""
    return dataclasses.replace(
        answer,
        trace_id="",
        timings=edge_llm.Timings(0.0, None, 0.0),
        hold_s=0.0,
        attempts=tuple(dataclasses.replace(one, latency_s=0.0) for one in answer.attempts),
    )


def test_an_answer_is_the_same_from_near_and_far(url: str) -> None:
    options: Any = {"temperature": 0.0, "top_logprobs": 2, "system": "Be kind.", "stop": "zzz"}

    with fake_runtime(SpokenBackend(REPLY)) as near, edge_llm.connect(url) as far:
        here, there = near.chat("hello", **options), far.chat("hello", **options)

    there = dataclasses.replace(
        there, usage=dataclasses.replace(there.usage, cached_tokens=here.usage.cached_tokens)
    )
    assert comparable(there) == comparable(here)
    assert there.logprobs is not None


def test_a_stream_is_the_answer_in_pieces(url: str) -> None:
    with edge_llm.connect(f"{url}/v1") as llm:
        chunks = list(llm.stream("hello"))

    answer = chunks[-1].answer
    assert answer is not None
    assert "".join(chunk.text for chunk in chunks) == answer.text
    assert "".join(chunk.reasoning for chunk in chunks) == answer.reasoning
    assert len([chunk for chunk in chunks if chunk.text]) > 1


def test_the_asynchronous_one(url: str) -> None:
    async def ask() -> list[Chunk]:
        async with edge_llm.AsyncRemoteEdgeLLM(url) as llm:
            both = await asyncio.gather(llm.chat("a"), llm.chat("b"))
            assert both[0].text == both[1].text
            return [chunk async for chunk in llm.stream("hello")]

    assert asyncio.run(ask())[-1].answer is not None


def test_tool_calls_come_as_calls() -> None:
    calls = spell_calls(("light", {"on": True}), ("door", {}))
    from edge_llm.prompt.chat_template import CHATML

    template = CHATML.replace("{%", "{% if tools %}{{ tools }}{% endif %}{%", 1)
    tools = [
        {"type": "function", "function": {"name": "light", "parameters": {}}},
        {"type": "function", "function": {"name": "door"}},
    ]

    with served(SpokenBackend(calls, chat_template=template)) as url, edge_llm.connect(url) as llm:
        chunks = list(llm.stream("hello", tools=tools, tool_choice="required"))

    answer = chunks[-1].answer
    assert answer is not None
    assert [(c.name, dict(c.arguments)) for c in answer.tool_calls] == [
        ("light", {"on": True}),
        ("door", {}),
    ]
    assert tuple(c.tool_call for c in chunks if c.tool_call) == answer.tool_calls


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"temperature": -1.0}, errors.InvalidParameterError),
        ({"max_tokens": 10**6}, errors.ContextLengthExceededError),
        ({"overflow": "sometimes"}, errors.InvalidParameterError),
        ({"temprature": 1.0}, errors.UnknownOptionError),
        ({"validator": bool}, errors.UnknownOptionError),
    ],
)
def test_an_error_is_the_same_from_near_and_far(
    url: str, options: Any, kind: type[errors.EdgeLLMError]
) -> None:
    if "validator" in options and "validator" in RequestOptions.__annotations__:
        kind = errors.NotRemoteError
    with edge_llm.connect(url) as llm, pytest.raises(kind) as caught:
        llm.chat("hello", **options)

    assert type(caught.value) is kind
    if isinstance(caught.value, errors.ContextLengthExceededError):
        assert caught.value.max_tokens == 10**6
        assert caught.value.prompt_tokens > 0


def test_what_only_the_server_knows_is_a_typed_error(url: str) -> None:
    with edge_llm.connect(url) as llm:
        assert llm.model == "fake"
        with pytest.raises(errors.NotRemoteError):
            _ = llm.facts
        with pytest.raises(errors.NotRemoteError):
            _ = llm.config


def test_a_model_that_is_not_there(url: str) -> None:
    with pytest.raises(errors.CloudModelNotFoundError, match="fake"):
        edge_llm.connect(url, model="gpt-9")


def test_nobody_there() -> None:
    with refused_url() as url, pytest.raises(errors.CloudUnavailableError):
        edge_llm.connect(url)


def test_somebody_else_there() -> None:
    listing = 'status 200\nbody {"object": "list", "data": [{"id": "m", "object": "model"}]}'

    with (
        CloudServer(listing, OK) as server,
        edge_llm.connect(server.url) as llm,
        pytest.raises(errors.CloudResponseError, match="no edge-llm server"),
    ):
        llm.chat("hello")


@pytest.mark.parametrize("listing", ["status 200\nbody {}", "status 200\nbody [1]", "say a"])
def test_somebody_who_lists_no_models(listing: str) -> None:
    with CloudServer(listing) as server, pytest.raises(errors.CloudError):
        edge_llm.connect(server.url)


def test_an_address_that_is_far_away_needs_saying_so() -> None:
    with pytest.raises(errors.PrivacyError, match="farther"):
        edge_llm.connect("http://8.8.8.8:1")


@pytest.mark.parametrize("url", ["", "localhost", "ftp://x", "http://u:p@localhost/"])
def test_an_address_that_cannot_be_meant(url: str) -> None:
    with pytest.raises(errors.ConfigError):
        edge_llm.connect(url)


def test_a_stream_that_is_left_stops_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, freed = EndlessBackend(), threading.Event()
    free = backend.free

    def noted(seq: int) -> None:
        free(seq)
        freed.set()

    monkeypatch.setattr(backend, "free", noted)

    with served(backend, prefix_slots=0) as url, edge_llm.connect(url) as llm:
        chunks = llm.stream("hello")
        next(chunks)
        chunks.close()
        assert freed.wait(60)


def test_a_server_that_hangs_meets_the_deadline() -> None:
    listing = 'status 200\nbody {"object": "list", "data": [{"id": "m", "object": "model"}]}'

    with (
        CloudServer(listing, "hang") as server,
        edge_llm.connect(server.url) as llm,
        pytest.raises(errors.DeadlineExceededError),
    ):
        llm.chat("hello", deadline_s=0.1)


def test_closing_ends_what_runs() -> None:
    with served(EndlessBackend(), prefix_slots=0) as url:
        llm = edge_llm.connect(url)
        chunks = llm.stream("hello")
        next(chunks)
        llm.close()
        with pytest.raises(errors.RuntimeClosedError):
            list(chunks)
        with pytest.raises(errors.RuntimeClosedError):
            llm.chat("hello")


def test_every_field_of_a_record_survives_the_journey() -> None:
    with fake_runtime(SpokenBackend(REPLY)) as llm:
        answer = llm.chat("hello", top_logprobs=2)

    assert read_answer({**answer.to_dict(), "of_a_later_version": 1}) == answer


@pytest.mark.parametrize("record", [{}, {"text": "x"}])
def test_what_is_no_record_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no record"):
        read_answer(record)


def test_the_command_line_serves_and_stops(tmp_path: Any) -> None:
    command = [sys.executable, "-m", "edge_llm", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            name, _, address = server.stdout.readline().strip().partition(" at ")
            with edge_llm.connect(address) as llm:
                assert llm.chat("turn on the kitchen lights").text
                assert llm.model == name
        finally:
            server.terminate()
        server.wait(60)
