"""What an endpoint may do wrong, over real sockets and the real SDK: answer or typed error."""

from __future__ import annotations

import asyncio
import random
import time
import traceback

import pytest

from edge_llm import errors
from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.types import (
    CloudAttempt,
    CloudFinish,
    CloudText,
    CloudToolCall,
    CloudUsage,
    Endpoint,
    Timeouts,
)
from tests.support.cloud import KEY, PROMPT, ask, collect, endpoint, finish_of, request, text_of
from tests.support.cloud_faults import random_script
from tests.support.cloud_server import OK, CloudServer, refused_url

SHORT = Timeouts(connect_s=2.0, read_s=0.3, total_s=20.0)

LEAKY = '{"error": {"message": "your key sk-secret-0123456789abcdef and my diagnosis is a secret"'


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTED_KEY", KEY)


def failure(script: str, **changes: object) -> errors.CloudError:
    """The error that an endpoint following `script` ends in."""
    with CloudServer(script) as server, pytest.raises(errors.CloudError) as caught:
        asyncio.run(ask(endpoint(server.url, **changes)))
    return caught.value


STATUSES = [
    (301, "Moved", errors.CloudResponseError),
    (400, '{"error": {"message": "no", "code": null}}', errors.CloudRequestError),
    (400, '{"error": {"code": "context_length_exceeded"}}', errors.CloudContextLengthError),
    (400, '{"error": {"type": "exceed_context_size_error"}}', errors.CloudContextLengthError),
    (
        400,
        '{"error": {"message": "This model\'s maximum context length is 9 tokens"}}',
        errors.CloudContextLengthError,
    ),
    (400, '{"error": {"code": "content_filter"}}', errors.CloudContentFilterError),
    (401, '{"error": {"code": "invalid_api_key"}}', errors.CloudAuthError),
    (402, "{}", errors.CloudQuotaError),
    (403, "<html>no</html>", errors.CloudAuthError),
    (404, '{"error": {"code": "model_not_found"}}', errors.CloudModelNotFoundError),
    (408, "", errors.CloudUnavailableError),
    (413, "", errors.CloudContextLengthError),
    (418, "teapot", errors.CloudRequestError),
    (422, '{"error": "text"}', errors.CloudRequestError),
    (429, "{}", errors.CloudRateLimitError),
    (429, '{"error": {"code": "insufficient_quota"}}', errors.CloudQuotaError),
    (500, "[1, 2", errors.CloudUnavailableError),
    (502, "<html>bad gateway</html>", errors.CloudUnavailableError),
    (503, LEAKY + "}}", errors.CloudUnavailableError),
    (529, "", errors.CloudUnavailableError),
]


@pytest.mark.parametrize(("status", "body", "kind"), STATUSES)
def test_a_status_becomes_a_typed_error(
    status: int, body: str, kind: type[errors.CloudError]
) -> None:
    error = failure(f"status {status}\nbody {body}")

    assert type(error) is kind
    assert error.status == status
    assert error.endpoint == "scripted"


BROKEN = {
    "bad json": ("raw data: {no\\n\\n", errors.CloudResponseError),
    "a list": ("raw data: [1]\\n\\n", errors.CloudResponseError),
    "not utf-8": ("raw data: {\\xff\\n\\n", errors.CloudResponseError),
    "deep json": ("raw data: " + "[" * 50_000 + "\\n\\n", errors.CloudResponseError),
    "choices": ('raw data: {"choices": 3}\\n\\n', errors.CloudResponseError),
    "delta": ('raw data: {"choices": [{"delta": 3}]}\\n\\n', errors.CloudResponseError),
    "content": (
        'raw data: {"choices": [{"delta": {"content": 3}}]}\\n\\n',
        errors.CloudResponseError,
    ),
    "reason": ("say a\nfinish because\ndone", errors.CloudResponseError),
    "after the end": ("say a\nfinish stop\nsay b\ndone", errors.CloudResponseError),
    "half an event": ('say a\nraw data: {"choices\nclose', errors.CloudUnavailableError),
    "half an event, ended": ('say a\nraw data: {"choices', errors.CloudResponseError),
    "nothing": ("stream", errors.CloudTruncatedError),
    "only done": ("done", errors.CloudTruncatedError),
    "no finish_reason": ("say a\nusage 1 1\ndone", errors.CloudTruncatedError),
    "reset": ("say a\nreset", errors.CloudUnavailableError),
    "reset before": ("reset", errors.CloudUnavailableError),
    "close before": ("close", errors.CloudUnavailableError),
    "close": ("say a\nclose", errors.CloudUnavailableError),
    "error object": ("say a\nerror boom", errors.CloudUnavailableError),
    "filter": ("say a\nfinish content_filter", errors.CloudContentFilterError),
    "html": (
        "status 200 content-type=text/html\nbody <html>log in</html>",
        errors.CloudResponseError,
    ),
    "empty json": ("status 200\nbody", errors.CloudResponseError),
    "gzip": ("stream content-encoding=gzip\nsay a\nfinish stop", errors.CloudResponseError),
    "huge event": ("huge 3000000", errors.CloudResponseError),
    "nameless call": ("tool 0 c1 - {}\nfinish tool_calls\ndone", errors.CloudResponseError),
    "not http": ("status 99\nbody", errors.CloudUnavailableError),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_answer_is_an_error(name: str) -> None:
    script, kind = BROKEN[name]

    error = failure(script)

    assert type(error) is kind
    everything = f"{error!r} {error} {vars(error)}" + "".join(traceback.format_exception(error))
    assert KEY not in everything
    assert PROMPT not in everything


SILENT = {
    "before the status": "hang",
    "after the headers": "stream\nhang",
    "after a piece": "say a\nhang",
    "comments": "say a\ncomments",
    "comments only": "comments",
    "drip": "drip 0.02 " + "data: x" * 400,
    "status without a body": "status 500 content-length=100 nobody=1\nhang",
}


@pytest.mark.parametrize("name", SILENT)
def test_a_server_that_says_nothing_more_is_left(name: str) -> None:
    with CloudServer(SILENT[name]) as server:
        with pytest.raises(errors.CloudTimeoutError) as caught:
            asyncio.run(ask(endpoint(server.url, timeouts=SHORT)))
        assert server.requests[0].client_left.wait(30)

    # A connection that was made may take its time to answer as well.
    assert caught.value.phase in ("read", "total")


def test_an_answer_that_never_ends_meets_the_deadline() -> None:
    with CloudServer("garbage") as server:
        began = time.monotonic()
        with pytest.raises(errors.CloudTimeoutError) as caught:
            asyncio.run(ask(endpoint(server.url), deadline=Deadline.after(0.5)))
        assert time.monotonic() - began >= 0.5
        assert server.requests[0].client_left.wait(30)

    assert caught.value.phase == "total"


def test_an_answer_that_never_ends_meets_the_endpoints_own_limit() -> None:
    error = failure("garbage", timeouts=Timeouts(total_s=0.5))

    assert isinstance(error, errors.CloudTimeoutError)
    assert error.phase == "total"


def test_nobody_listening_is_unavailable_and_costs_nothing() -> None:
    attempts: list[CloudAttempt] = []

    with refused_url() as url, pytest.raises(errors.CloudUnavailableError):
        asyncio.run(ask(endpoint(url), attempts=attempts))

    assert [a.outcome for a in attempts] == ["cloud_unavailable"]


def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    with pytest.raises(errors.CloudUnavailableError):
        asyncio.run(ask(endpoint("http://nowhere.invalid/v1", trust="lan")))


def test_a_complete_answer_needs_neither_done_nor_usage() -> None:
    with CloudServer("say Hi\nfinish stop") as server:
        events = asyncio.run(ask(endpoint(server.url)))

    assert text_of(events) == "Hi"
    assert finish_of(events).usage.estimated
    assert finish_of(events).usage.completion_tokens >= 1


@pytest.mark.parametrize("tail", ["hang", "comments", "reset", "close"])
def test_a_complete_answer_does_not_wait_for_its_tail(tail: str) -> None:
    with CloudServer(f"say Hi\nfinish stop\n{tail}") as server:
        events = asyncio.run(ask(endpoint(server.url)))

    assert text_of(events) == "Hi"
    assert finish_of(events).finish_reason == "stop"


def test_an_answer_in_one_piece_from_a_server_that_does_not_stream() -> None:
    body = (
        '{"model": "whole", "choices": [{"index": 0, "message": {"role": "assistant",'
        ' "content": "Hi"}, "finish_reason": "stop"}],'
        ' "usage": {"prompt_tokens": 4, "completion_tokens": 1}}'
    )

    with CloudServer(f"status 200\nbody {body}") as server:
        events = asyncio.run(ask(endpoint(server.url)))

    assert text_of(events) == "Hi"
    assert finish_of(events).usage == CloudUsage(4, 1)
    assert finish_of(events).model == "whole"


def calls_of(script: str) -> list[CloudToolCall]:
    with CloudServer(script) as server:
        events = asyncio.run(ask(endpoint(server.url)))
    assert finish_of(events).finish_reason == "tool_calls"
    return [event for event in events if isinstance(event, CloudToolCall)]


def test_pieces_of_two_calls_may_come_mixed() -> None:
    calls = calls_of(
        'tool 0 c1 on {"a"\ntool 1 c2 off -\ntool 0 - - :1}\ntool 1 - - {}\nfinish tool_calls\ndone'
    )

    joined = {
        i: (
            "".join(c.name for c in calls if c.index == i),
            "".join(c.arguments for c in calls if c.index == i),
        )
        for i in (0, 1)
    }
    assert joined == {0: ("on", '{"a":1}'), 1: ("off", "{}")}


def test_calls_that_share_an_id_get_ids_of_their_own() -> None:
    calls = calls_of("tool 0 same on {}\ntool 1 same off {}\nfinish stop\ndone")

    assert [c.name for c in calls] == ["on", "off"]
    assert calls[0].id == "same" != calls[1].id


def test_calls_that_are_all_numbered_0_are_told_apart_by_id() -> None:
    calls = calls_of("tool 0 c1 on {}\ntool 0 c2 off {}\nfinish tool_calls\ndone")

    assert [(c.index, c.id, c.name) for c in calls] == [(0, "c1", "on"), (1, "c2", "off")]


def test_arguments_before_the_name_wait_for_it() -> None:
    calls = calls_of('tool 7 c1 - {"a":1}\ntool 7 - on -\nfinish tool_calls\ndone')

    assert calls == [CloudToolCall(0, "c1", "on", '{"a":1}')]


def test_a_cancelled_request_closes_its_socket_and_is_accounted() -> None:
    attempts: list[CloudAttempt] = []

    async def leave_early(url: str) -> None:
        asking = asyncio.create_task(ask(endpoint(url), attempts=attempts))
        await asyncio.to_thread(server.wait_for_requests, 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    with CloudServer("hang") as server:
        asyncio.run(leave_early(server.url))
        assert server.requests[0].client_left.wait(30)

    assert [a.outcome for a in attempts] == ["cancelled"]
    assert attempts[0].sent_bytes == len(server.requests[0].body)
    assert attempts[0].usage.prompt_tokens > 0
    assert attempts[0].cost_usd is not None
    assert attempts[0].cost_usd > 0


def test_a_stream_that_is_left_closes_its_socket() -> None:

    async def take_one(url: str) -> None:
        client = CloudClient(endpoint(url))
        stream = client.stream(request())
        assert await anext(stream)
        await stream.aclose()
        await asyncio.to_thread(server.requests[0].client_left.wait, 30)
        await client.close()

    with CloudServer("say a\nhang") as server:
        asyncio.run(take_one(server.url))
        assert server.requests[0].client_left.is_set()


def test_a_connection_is_used_again() -> None:

    async def twice(url: str) -> list[str]:
        client = CloudClient(endpoint(url))
        texts = [text_of(await collect(client)) for _ in range(2)]
        await client.close()
        return texts

    with CloudServer(OK) as server:
        assert asyncio.run(twice(server.url)) == ["Hello, world"] * 2
        assert server.num_connections == 1


def test_the_finish_is_last_and_there_is_one() -> None:
    with CloudServer(OK) as server:
        events = asyncio.run(ask(endpoint(server.url)))

    assert [isinstance(event, CloudFinish) for event in events].count(True) == 1
    assert isinstance(events[-1], CloudFinish)
    assert finish_of(events).cost_usd == pytest.approx(12e-6)


def test_random_scripts_end_in_an_answer_or_a_typed_error() -> None:
    """A sample of what the benchmark does by the thousand: nothing shown that was not said."""
    dice = random.Random(20261122)
    cases = [random_script(dice) for _ in range(200)]
    turns = asyncio.Semaphore(20)

    async def ask_one(url: str, number: int) -> None:
        async with turns:
            shown, error = await _shown(endpoint(url, headers={"x-script": str(number)}))
        case = cases[number]
        assert (error is None) == case.is_complete, case
        assert case.said.startswith(shown), case
        assert error is not None or shown == case.said, case

    async def ask_all(url: str) -> None:
        await asyncio.gather(*(ask_one(url, number) for number in range(len(cases))))

    with CloudServer(*(case.text for case in cases)) as server:
        asyncio.run(ask_all(server.url))


async def _shown(where: Endpoint) -> tuple[str, errors.CloudError | None]:
    client = CloudClient(where)
    text = ""
    try:
        async for event in client.stream(request(), Deadline.after(6.0)):
            text += event.text if isinstance(event, CloudText) else ""
    except errors.CloudError as error:
        return text, error
    finally:
        await client.close()
    return text, None
