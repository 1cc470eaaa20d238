"""Short ways to endpoints and requests, for tests of everything that asks the cloud."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.types import (
    CloudAttempt,
    CloudEvent,
    CloudFinish,
    CloudRequest,
    CloudText,
    Endpoint,
    KeySource,
    Prices,
    Timeouts,
)

KEY = "sk-secret-0123456789abcdef"
PROMPT = "my diagnosis is a secret"

QUICK = Timeouts(connect_s=10.0, read_s=10.0, total_s=20.0)
"""Long enough for any machine, short enough to notice a hang."""


def endpoint(url: str, **changes: Any) -> Endpoint:
    """A scripted endpoint that is asked once and costs a dollar for a million tokens."""
    settings: dict[str, Any] = {
        "name": "scripted",
        "base_url": url,
        "model": "m",
        "key": KeySource(env="SCRIPTED_KEY"),
        "timeouts": QUICK,
        "max_retries": 0,
        "prices": Prices(1.0, 1.0),
        **changes,
    }
    return Endpoint(**settings)


def request(text: str = PROMPT, **changes: Any) -> CloudRequest:
    settings: dict[str, Any] = {
        "messages": ({"role": "user", "content": text},),
        "label": "allow",
        **changes,
    }
    return CloudRequest(**settings)


async def collect(
    client: Any,
    asked: CloudRequest | None = None,
    deadline: Deadline | None = None,
    attempts: list[CloudAttempt] | None = None,
) -> list[CloudEvent]:
    """All events of one answer, from a client that is left open."""
    listener = None if attempts is None else attempts.append
    stream = client.stream(asked or request(), deadline, on_attempt=listener)
    async with contextlib.aclosing(stream) as events:
        return [event async for event in events]


async def ask(
    where: Endpoint,
    asked: CloudRequest | None = None,
    deadline: Deadline | None = None,
    attempts: list[CloudAttempt] | None = None,
) -> list[CloudEvent]:
    """All events of one answer by a client made for it."""
    client = CloudClient(where)
    try:
        return await collect(client, asked, deadline, attempts)
    finally:
        await client.close()


def text_of(events: Sequence[CloudEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, CloudText))


def finish_of(events: Sequence[CloudEvent]) -> CloudFinish:
    last = events[-1]
    assert isinstance(last, CloudFinish)
    return last
