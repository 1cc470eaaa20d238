"""One attempt at one endpoint: opened, read within its time limits, accounted whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from edge_llm.cloud.chunks import ChunkReader
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.keys import Key
from edge_llm.cloud.pricing import cost_usd, estimate_prompt_tokens, estimate_tokens
from edge_llm.cloud.sdk import Response, SDKClient
from edge_llm.cloud.sse import EventTooLargeError, SSEParser
from edge_llm.cloud.types import (
    CloudAttempt,
    CloudEvent,
    CloudFinish,
    CloudReasoning,
    CloudRequest,
    CloudText,
    CloudToolCall,
    CloudUsage,
    Endpoint,
)
from edge_llm.cloud.wire import body_bytes, request_body
from edge_llm.errors import (
    CloudError,
    CloudResponseError,
    CloudTimeoutError,
    CloudTruncatedError,
    OfflineError,
    PrivacyError,
)

T = TypeVar("T")

MAX_ANSWER_BYTES = 16 << 20
"""Of one answer's body with all its framing."""

DRAIN_S = 0.05
"""How long the end of a body may take that is only wanted to keep its connection."""

TAIL_S = 1.0
"""How long a finished answer waits for the count of its tokens."""


class Attempt:
    """What one attempt sent and received so far."""

    def __init__(
        self, endpoint: Endpoint, request: CloudRequest, deadline: Deadline, patience: Deadline
    ) -> None:
        """`patience` is the deadline of the first piece, `deadline` that of the last."""
        limits = endpoint.timeouts
        self._endpoint = endpoint
        self._request = request
        self._started_s = time.monotonic()
        self._total_at_s = self._started_s + limits.total_s
        self._deadline_at_s = self._started_s + deadline.remaining_s
        self._first_at_s = self._started_s + min(patience.remaining_s, deadline.remaining_s)
        self.was_cut_short = False
        """Whether it ended by its caller's deadline, earlier than the endpoint's own limits."""
        self._read_at_s = math.inf
        self._reader = ChunkReader(endpoint.name, is_ours=endpoint.ours)
        self._body = request_body(request, endpoint)
        self._ttft_s: float | None = None
        self._status: int | None = None
        self._received_tokens = 0
        self._received_bytes = 0
        self._was_sent = False
        self._sent_s = self._started_s

    async def run(
        self, open_client: Callable[[], Awaitable[SDKClient]], key: Key | None
    ) -> AsyncGenerator[CloudEvent]:
        """The events of the answer; the last is `CloudFinish`.

        Raises:
            CloudError: there is no answer, or only the beginning of one.
        """
        response = await self._open(open_client, key)
        try:
            async with contextlib.aclosing(self._data(response)) as parts:
                async for data, is_whole in parts:
                    read = self._reader.read_whole if is_whole else self._reader.read
                    for event in read(data):
                        yield self._received(event)
            if self._reader.finish_reason is None:
                raise CloudTruncatedError(
                    f"the answer of {self._endpoint.name!r} stopped half-way",
                    endpoint=self._endpoint.name,
                )
            await self._drain(response)
        finally:
            await response.close()
        yield self._finish()

    def record(self, outcome: str, error: CloudError | None) -> CloudAttempt:
        """What it came to."""
        usage = self._usage()
        return CloudAttempt(
            endpoint=self._endpoint.name,
            model=self._reader.model or self._endpoint.model,
            outcome=outcome,
            usage=usage,
            cost_usd=self._cost(usage),
            sent_bytes=body_bytes(self._body) if self._was_sent else 0,
            ttft_s=self._ttft_s,
            e2e_s=time.monotonic() - self._started_s,
            status=error.status if error is not None else self._status,
            retry_after_s=error.retry_after_s if error is not None else None,
        )

    async def _open(
        self, open_client: Callable[[], Awaitable[SDKClient]], key: Key | None
    ) -> Response:
        limits = self._endpoint.timeouts
        client = await self._in_time(open_client())
        self._read_at_s = time.monotonic() + limits.connect_s + limits.read_s
        self._was_sent = True
        self._sent_s = time.monotonic()
        try:
            response = await self._in_time(client.open(self._body, key))
        except CloudError as error:
            self._status = error.status
            self._was_sent = not _never_connected(error)
            raise
        self._status = response.status
        self._read_at_s = time.monotonic() + limits.read_s
        return response

    async def _data(self, response: Response) -> AsyncGenerator[tuple[bytes, bool]]:
        """Each event's data, or all of an answer that came in one piece, which is flagged."""
        kind = response.headers.get("content-type", "text/event-stream").partition(";")[0].strip()
        if response.headers.get("content-encoding", "identity") != "identity":
            raise self._bad("sent compressed bytes")
        if kind == "application/json":
            pieces = [piece async for piece in self._pieces(response)]
            yield b"".join(pieces), True
        elif kind == "text/event-stream":
            async with contextlib.aclosing(self._events(response)) as events:
                async for data in events:
                    yield data, False
        else:
            raise self._bad("answered with something else than an answer")

    async def _events(self, response: Response) -> AsyncGenerator[bytes]:
        parser = SSEParser()
        try:
            async with contextlib.aclosing(self._pieces(response)) as pieces:
                async for piece in pieces:
                    for data in parser.feed(piece):
                        self._read_at_s = time.monotonic() + self._endpoint.timeouts.read_s
                        yield data
                        if self._reader.done:
                            return
            for data in parser.finish():
                yield data
        except EventTooLargeError:
            too_large = self._bad("sent an event too large to be one")
        else:
            return
        raise too_large

    async def _pieces(self, response: Response) -> AsyncGenerator[bytes]:
        """The body's bytes as they come, until it ends or nothing more is needed."""
        while (piece := await self._next(response)) is not None:
            self._received_bytes += len(piece)
            if self._received_bytes > MAX_ANSWER_BYTES:
                raise self._bad("sent more than any answer has")
            yield piece

    async def _next(self, response: Response) -> bytes | None:
        if self._reader.finish_reason is None:
            return await self._in_time(response.read_piece())
        self._read_at_s = min(self._read_at_s, time.monotonic() + TAIL_S)
        try:
            return await self._in_time(response.read_piece())
        except CloudError:
            return None  # the answer is complete; only the count of its tokens is missing

    async def _drain(self, response: Response) -> None:
        """Read the end of a body that has said all, so that its connection can be used again."""
        with contextlib.suppress(TimeoutError, CloudError):
            async with asyncio.timeout(DRAIN_S):
                while await response.read_piece() is not None:
                    pass

    async def _in_time(self, work: Awaitable[T]) -> T:
        """The result of `work`, which is cancelled when time is over."""
        own_at_s = min(self._read_at_s, self._total_at_s)
        caller_at_s = self._deadline_at_s if self._ttft_s is not None else self._first_at_s
        at_s = min(own_at_s, caller_at_s)
        phase = "read" if at_s == self._read_at_s else "total"
        wait_s = max(0.0, at_s - time.monotonic())
        late: CloudTimeoutError | None = None
        limit = asyncio.timeout(wait_s)
        try:
            async with limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            self.was_cut_short = caller_at_s < own_at_s
            late = self._late(phase)
        raise late

    def _late(self, phase: str) -> CloudTimeoutError:
        what = "went silent" if phase == "read" else "did not finish in time"
        name = self._endpoint.name
        return CloudTimeoutError(f"{name!r} {what}", phase=phase, endpoint=name)

    def _received(self, event: CloudEvent) -> CloudEvent:
        if self._ttft_s is None:
            self._ttft_s = time.monotonic() - self._sent_s
        match event:
            case CloudText(text) | CloudReasoning(text):
                self._received_tokens += estimate_tokens(text)
            case CloudToolCall():
                self._received_tokens += estimate_tokens(event.name + event.arguments)
        return event

    def _finish(self) -> CloudFinish:
        usage = self._usage()
        return CloudFinish(
            finish_reason=self._reader.finish_reason or "stop",
            usage=usage,
            cost_usd=self._cost(usage),
            model=self._reader.model or self._endpoint.model,
            ttft_s=self._ttft_s,
            e2e_s=time.monotonic() - self._started_s,
            record=self._reader.record,
        )

    def _usage(self) -> CloudUsage:
        if self._reader.usage is not None:
            return self._reader.usage
        refused = self._status is not None and self._status >= 300
        if not self._was_sent or refused:
            return CloudUsage(0, 0, estimated=self._was_sent)
        return CloudUsage(
            estimate_prompt_tokens(self._request), self._received_tokens, estimated=True
        )

    def _cost(self, usage: CloudUsage) -> float | None:
        if self._reader.cost_usd is not None:
            return self._reader.cost_usd
        return cost_usd(self._endpoint.prices, usage)

    def _bad(self, what: str) -> CloudResponseError:
        name = self._endpoint.name
        return CloudResponseError(
            f"{name!r} {what}",
            hint="a login page or a proxy may stand in between; check base_url",
            endpoint=name,
            status=self._status,
        )


def _never_connected(error: CloudError) -> bool:
    is_connect = isinstance(error, CloudTimeoutError) and error.phase == "connect"
    return is_connect or isinstance(error, OfflineError | PrivacyError)
