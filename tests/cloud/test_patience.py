"""Retries, the breaker at work, and several endpoints that stand in for each other."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from edge_llm.cloud.breaker import CircuitBreaker
from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.failover import CloudTier
from edge_llm.cloud.retry import retry_after_s, wait_s
from edge_llm.cloud.types import CloudAttempt, EndpointCapabilities, KeySource, Prices
from edge_llm.errors import (
    CircuitOpenError,
    CloudAuthError,
    CloudContentFilterError,
    CloudContextLengthError,
    CloudError,
    CloudRateLimitError,
    CloudRequestError,
    CloudTimeoutError,
    CloudUnavailableError,
    PrivacyError,
)
from tests.support.cloud import KEY, collect, endpoint, request, text_of
from tests.support.cloud_server import OK, CloudServer, refused_url

BUSY = "status 503\nbody {}"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPTED_KEY", KEY)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def run(client: Any, **options: Any) -> str:
    """The answer's text, or the code of the error."""

    async def go() -> str:
        try:
            return text_of(await collect(client, **options))
        except CloudError as error:
            return error.code
        finally:
            await client.close()

    return asyncio.run(go())


def phase_of(client: CloudClient) -> str:
    return client.breaker_state.phase


def test_a_failure_is_tried_again_and_each_attempt_is_told() -> None:
    attempts: list[CloudAttempt] = []

    with CloudServer(BUSY, "reset", OK) as server:
        client = CloudClient(endpoint(server.url, max_retries=2))
        assert run(client, attempts=attempts) == "Hello, world"

    assert [a.outcome for a in attempts] == ["cloud_unavailable", "cloud_unavailable", "ok"]
    assert [a.status for a in attempts] == [503, None, 200]


def test_what_was_given_out_is_never_asked_for_again() -> None:
    with CloudServer("say a\nreset", OK) as server:
        client = CloudClient(endpoint(server.url, max_retries=5))
        assert run(client) == "cloud_unavailable"
        assert len(server.requests) == 1


@pytest.mark.parametrize("script", ["status 400\nbody {}", "status 401\nbody {}"])
def test_a_refusal_is_not_tried_again(script: str) -> None:
    with CloudServer(script) as server:
        run(CloudClient(endpoint(server.url, max_retries=5)))
        assert len(server.requests) == 1


def test_retry_after_is_waited_for() -> None:
    with CloudServer("status 429 retry-after-ms=300\nbody {}", OK) as server:
        assert run(CloudClient(endpoint(server.url, max_retries=1))) == "Hello, world"
        first, second = server.requests
        assert second.came_s - first.came_s >= 0.29


def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    with CloudServer("status 429 retry-after=3600\nbody {}", OK) as server:
        client = CloudClient(endpoint(server.url, max_retries=1))
        assert run(client, deadline=Deadline.after(30.0)) == "cloud_rate_limit"
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, 86_400.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 50.0),
        (
            # The device's clock is years off; the endpoint's own tells the difference.
            {
                "retry-after": "Sun, 22 Nov 2026 10:00:30 GMT",
                "date": "Sun, 22 Nov 2026 10:00:00 GMT",
            },
            30.0,
        ),
        ({"retry-after": "Thu, 99 Jan 1970 00:01:00 GMT"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_s(headers, now_s=10.0) == seconds


def test_waits_grow_are_spread_and_never_undercut_the_endpoint() -> None:
    dice = random.Random(7)
    early = [wait_s(0, None, dice) for _ in range(200)]
    late = [wait_s(9, None, dice) for _ in range(200)]
    asked = [wait_s(0, 3.0, dice) for _ in range(200)]

    assert 0.0 <= min(early) <= max(early) <= 0.5
    assert 4.0 < max(late) <= 8.0
    assert min(late) < 1.0
    assert 3.0 <= min(asked) <= max(asked) <= 3.5


def test_an_expired_deadline_sends_nothing() -> None:
    with CloudServer(OK) as server:
        client = CloudClient(endpoint(server.url))
        assert run(client, deadline=Deadline.after(-1.0)) == "cloud_timeout"
        assert server.requests == []


def test_a_breaker_opens_lets_one_through_and_closes() -> None:
    clock = Clock()
    breaker = CircuitBreaker(failures_to_open=2, cool_down_s=30.0, clock=clock)

    with CloudServer(BUSY, BUSY, OK) as server:
        client = CloudClient(endpoint(server.url), breaker=breaker)
        assert [run(client), run(client)] == ["cloud_unavailable"] * 2
        assert phase_of(client) == "open"
        assert breaker.state.reason == "cloud_unavailable"
        assert run(client) == "cloud_circuit_open"
        assert len(server.requests) == 2

        clock.now_s = 31.0
        assert phase_of(client) == "half_open"
        assert run(client) == "Hello, world"
        assert phase_of(client) == "closed"


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("place", ["env", "file"])
def test_a_refused_key_stays_refused_until_it_changes(
    status: int, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    key_file = tmp_path / "key"
    key_file.write_text("first", encoding="utf-8")
    source = KeySource(env="SCRIPTED_KEY") if place == "env" else KeySource(file=str(key_file))

    with CloudServer(f"status {status}\nbody {{}}", OK) as server:
        client = CloudClient(endpoint(server.url, key=source), breaker=CircuitBreaker(clock=clock))
        assert run(client) == "cloud_auth"
        clock.now_s = 1e9
        assert run(client) == "cloud_circuit_open"
        assert phase_of(client) == "open"
        assert len(server.requests) == 1

        monkeypatch.setenv("SCRIPTED_KEY", "second")
        key_file.write_text("second", encoding="utf-8")
        assert run(client) == "Hello, world"
        assert phase_of(client) == "closed"
        assert server.requests[1].headers["authorization"] == "Bearer second"


def test_a_callers_own_short_deadline_says_nothing_about_the_endpoint() -> None:
    breaker = CircuitBreaker(failures_to_open=1)

    with CloudServer("hang") as server:
        client = CloudClient(endpoint(server.url), breaker=breaker)
        assert run(client, deadline=Deadline.after(0.3)) == "cloud_timeout"

    assert breaker.state.phase == "closed"


def tier_of(*urls: str, order: Any = "listed", **changes: Any) -> CloudTier:
    return CloudTier(
        [CloudClient(endpoint(url, name=f"e{i}", **changes)) for i, url in enumerate(urls)],
        order=order,
    )


def test_the_next_endpoint_answers_where_one_fails() -> None:
    attempts: list[CloudAttempt] = []

    with (
        refused_url() as dead,
        CloudServer("status 401\nbody {}") as locked,
        CloudServer(OK) as good,
    ):
        tier = tier_of(dead, locked.url, good.url)
        assert run(tier, attempts=attempts) == "Hello, world"

    assert [a.endpoint for a in attempts] == ["e0", "e1", "e2"]
    assert [a.outcome for a in attempts] == ["cloud_unavailable", "cloud_auth", "ok"]


def test_an_endpoint_that_hangs_leaves_time_for_the_next() -> None:
    with CloudServer("hang") as slow, CloudServer(OK) as good:
        tier = tier_of(slow.url, good.url)
        assert run(tier, deadline=Deadline.after(20.0)) == "Hello, world"


def test_after_the_first_piece_no_other_endpoint_is_asked() -> None:
    with CloudServer("say a\nreset") as broken, CloudServer(OK) as good:
        assert run(tier_of(broken.url, good.url)) == "cloud_unavailable"
        assert good.requests == []


def test_what_one_filter_stopped_is_not_offered_to_the_next() -> None:
    script = 'status 400\nbody {"error": {"code": "content_filter"}}'

    with CloudServer(script) as strict, CloudServer(OK) as lax:
        assert run(tier_of(strict.url, lax.url)) == "cloud_content_filter"
        assert lax.requests == []


def test_the_cheapest_or_the_fastest_is_asked_first() -> None:
    dear = CloudClient(endpoint("https://a/v1", name="dear", prices=Prices(5.0, 5.0)))
    cheap = CloudClient(endpoint("https://b/v1", name="cheap", prices=Prices(1.0, 1.0)))
    unknown = CloudClient(endpoint("https://c/v1", name="unknown", prices=None))
    asked = request()

    by_price = CloudTier([unknown, dear, cheap], order="price").candidates(asked)
    assert [c.endpoint.name for c in by_price] == ["cheap", "dear", "unknown"]
    listed = CloudTier([unknown, dear, cheap]).candidates(asked)
    assert [c.endpoint.name for c in listed] == ["unknown", "dear", "cheap"]


def test_the_endpoint_measured_slower_comes_later() -> None:
    with CloudServer("wait 0.3\n" + OK) as slow, CloudServer(OK) as fast:
        tier = tier_of(slow.url, fast.url, order="latency")
        for client in tier.clients:
            run(client)

        assert [c.endpoint.name for c in tier.candidates(request())] == ["e1", "e0"]


def test_an_open_breaker_puts_an_endpoint_last() -> None:
    breaker = CircuitBreaker(failures_to_open=1)
    permit = breaker.acquire()
    assert permit is not None
    breaker.failed(permit, "x")
    ill = CloudClient(endpoint("https://a/v1", name="ill"), breaker=breaker)
    well = CloudClient(endpoint("https://b/v1", name="well"))

    names = [c.endpoint.name for c in CloudTier([ill, well]).candidates(request())]

    assert names == ["well", "ill"]


@pytest.mark.parametrize(
    "lack",
    [
        {"tools": ({"type": "function", "function": {"name": "f"}},)},
        {"response_format": {"type": "json_schema"}},
        {"top_logprobs": 3},
        {"continue_prefix": True},
        {"messages": ({"role": "user", "content": [{"type": "image_url"}]},)},
    ],
)
def test_an_endpoint_that_cannot_is_not_asked(lack: dict[str, Any]) -> None:
    nothing = EndpointCapabilities(tools=False, json_schema=False)

    with CloudServer(OK) as server:
        tier = tier_of(server.url, capabilities=nothing)
        assert run(tier, asked=request(**lack)) == "cloud_request"
        assert server.requests == []


def test_an_endpoint_that_is_too_small_is_not_asked() -> None:
    with CloudServer(OK) as server:
        tier = tier_of(server.url, context_length=100)
        asked = request(prompt_tokens=90, max_tokens=20)
        assert run(tier, asked=asked) == "cloud_context_length"
        assert server.requests == []


def test_errors_say_whether_to_try_again() -> None:
    again = (CloudUnavailableError, CloudRateLimitError, CloudTimeoutError, CircuitOpenError)
    never = (
        CloudAuthError,
        CloudRequestError,
        CloudContextLengthError,
        CloudContentFilterError,
        PrivacyError,
    )

    assert all(kind.retryable for kind in again)
    assert not any(kind.retryable for kind in never)
