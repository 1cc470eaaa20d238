"""One endpoint, asked with patience: retries, breaker, deadline, and a record of each attempt."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import threading
import weakref
from collections.abc import AsyncGenerator, Callable

from edge_llm.cloud.attempt import Attempt
from edge_llm.cloud.breaker import BreakerState, CircuitBreaker, Permit
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.gate import check_endpoint, check_host, check_label, is_offline
from edge_llm.cloud.keys import Key, read_key
from edge_llm.cloud.retry import wait_s
from edge_llm.cloud.sdk import SDKClient, open_sdk_client
from edge_llm.cloud.types import (
    CloudAttempt,
    CloudEvent,
    CloudFinish,
    CloudRequest,
    Endpoint,
    Trust,
)
from edge_llm.errors import (
    CircuitOpenError,
    CloudAuthError,
    CloudError,
    CloudForbiddenError,
    CloudRequestError,
    CloudTimeoutError,
    CloudUnavailableError,
)

OnAttempt = Callable[[CloudAttempt], None]
"""Told of each attempt as it ends, once, also when its caller left; must not block or raise."""

LIST_S = 30.0
"""How long a list of models may take."""

TTFT_SHARE = 0.3
"""Weight of the newest time in the moving average."""


class CloudClient:
    """One endpoint and what is known of its health; nothing is opened before the first request.

    May be shared by any number of tasks, also of different event loops.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        local_trust: Trust = "device",
        breaker: CircuitBreaker | None = None,
        dice: random.Random | None = None,
    ) -> None:
        """Check the endpoint's own consistency.

        `local_trust` is how far `local_only` reaches: `device`, or `lan` where the configuration
        says that the owner's own network counts as local.

        Raises:
            ConfigError: the endpoint contradicts itself.
        """
        check_endpoint(endpoint)
        self.endpoint = endpoint
        self.local_trust = local_trust
        self.breaker = breaker or CircuitBreaker()
        self._dice = dice or random.Random()
        self._salt = os.urandom(16)
        self._ttft_s: float | None = None
        self._opened = _OpenClients(endpoint)

    @property
    def breaker_state(self) -> BreakerState:
        """See `CircuitBreaker.state`."""
        return self.breaker.state

    @property
    def measured_ttft_s(self) -> float | None:
        """Moving average of the time to the first piece; None before the first answer."""
        return self._ttft_s

    def check(self, request: CloudRequest) -> None:
        """Whether the door would let this request pass to this endpoint; sends nothing.

        Looks at label, trust and `EDGE_LLM_OFFLINE` only. `stream` checks again, and the
        addresses that the endpoint's name resolves to as well.

        Raises:
            CloudForbiddenError: it would not.
        """
        check_label(request, self.endpoint, self.local_trust)
        check_host(self.endpoint, offline=is_offline())

    async def stream(
        self,
        request: CloudRequest,
        deadline: Deadline | None = None,
        *,
        on_attempt: OnAttempt | None = None,
        first_piece_by: Deadline | None = None,
    ) -> AsyncGenerator[CloudEvent]:
        """The answer in pieces, the last of them `CloudFinish`; leaving early closes the socket.

        Failed attempts are repeated with full jitter, no sooner than the endpoint asks and only
        while the deadline allows, until the first piece has been given out; after that, what
        was given out is never repeated and a failure is raised. No answer is complete without
        a `CloudFinish`. `first_piece_by` is an earlier deadline for the first piece, where
        somebody else could still be asked.

        Raises:
            CloudError: no answer could be had; its class says why.
        """
        deadline = deadline or Deadline.never()
        patience = first_piece_by or deadline
        last: CloudError | None = None
        for number in range(self.endpoint.max_retries + 1):
            given_out = False
            try:
                attempt = self._attempt(request, deadline, patience, on_attempt)
                async with contextlib.aclosing(attempt) as events:
                    async for event in events:
                        given_out = True
                        yield event
                return
            except CircuitOpenError as error:
                last = last or error
                break
            except CloudError as error:
                last = error
            pause_s = wait_s(number, last.retry_after_s, self._dice)
            is_final = given_out or not last.retryable or number == self.endpoint.max_retries
            if is_final or pause_s >= patience.remaining_s:
                break
            await asyncio.sleep(pause_s)
        if last is not None:
            raise last

    async def _attempt(
        self,
        request: CloudRequest,
        deadline: Deadline,
        patience: Deadline,
        on_attempt: OnAttempt | None,
    ) -> AsyncGenerator[CloudEvent]:
        """One attempt, its outcome told to the breaker and to `on_attempt`."""
        self.check(request)
        offline = is_offline()
        if patience.expired:
            name = self.endpoint.name
            raise CloudTimeoutError(f"no time left for {name!r}", phase="total", endpoint=name)
        attempt = Attempt(self.endpoint, request, deadline, patience)
        key, permit = await self._permit()
        outcome, error = "cancelled", None
        try:
            work = attempt.run(lambda: self._opened.get(offline=offline), key)
            async with contextlib.aclosing(work) as events:
                async for event in events:
                    if isinstance(event, CloudFinish):
                        outcome = "ok"
                    yield event
        except CloudError as failure:
            outcome, error = failure.code, failure
            raise
        except Exception:
            outcome = "error"
            raise
        finally:
            self._judge(permit, attempt, outcome, error)
            record = attempt.record(outcome, error)
            self._learn(record, was_cut_short=attempt.was_cut_short)
            if on_attempt is not None:
                on_attempt(record)

    async def _permit(self) -> tuple[Key | None, Permit]:
        """The key as it is now, and leave to try it."""
        key = None
        missing: CloudAuthError | None = None
        try:
            if self.endpoint.key is not None and self.endpoint.key.file is not None:
                key = await asyncio.to_thread(read_key, self.endpoint)
            else:
                key = read_key(self.endpoint)
        except CloudAuthError as error:
            missing = error
        if missing is not None:
            raise missing
        permit = self.breaker.acquire(self._fingerprint(key))
        if permit is None:
            raise self._circuit_open()
        return key, permit

    def _fingerprint(self, key: Key | None) -> str:
        """Changes with the configuration and the key, and tells nothing of either."""
        text = f"{self.endpoint!r}{self.endpoint.headers}{key.text if key else None}"
        return hashlib.blake2b(text.encode(), key=self._salt, digest_size=16).hexdigest()

    def _circuit_open(self) -> CircuitOpenError:
        state, name = self.breaker.state, self.endpoint.name
        if state.retry_in_s == float("inf"):
            reason, hint = "refused the key", "set another key; it is tried again at once"
        else:
            reason = f"failed {state.failures} times in a row"
            hint = f"it is tried again in {state.retry_in_s:.0f} s"
        return CircuitOpenError(f"{name!r} {reason} ({state.reason})", hint=hint, endpoint=name)

    def _learn(self, record: CloudAttempt, *, was_cut_short: bool) -> None:
        """Take the time to the first piece into account, or that none came for so long."""
        known = self._ttft_s
        if record.ttft_s is not None:
            known = record.ttft_s if known is None else known
            self._ttft_s = known + TTFT_SHARE * (record.ttft_s - known)
        elif was_cut_short:
            self._ttft_s = max(known or 0.0, record.e2e_s)

    def _judge(
        self, permit: Permit, attempt: Attempt, outcome: str, error: CloudError | None
    ) -> None:
        if outcome == "ok" or _is_of_the_request(error):
            self.breaker.succeeded(permit)
        elif isinstance(error, CloudAuthError):
            self.breaker.blocked(permit, error.code)
        elif error is None or isinstance(error, CloudForbiddenError) or attempt.was_cut_short:
            self.breaker.released(permit)
        else:
            self.breaker.failed(permit, error.code, error.retry_after_s)

    async def warm_up(self) -> None:
        """Import the SDK and read certificates now, on a thread; connects to nobody.

        Takes most of a second on a laptop and several on a small board, which the first request
        would otherwise wait for.

        Raises:
            ConfigError: certificates or proxies that cannot be used.
        """
        await self._opened.get(offline=is_offline())

    async def models(self) -> list[str]:
        """Names of the models that the endpoint offers; no breaker is asked or told.

        Raises:
            CloudError: it does not say.
        """
        offline = is_offline()
        check_host(self.endpoint, offline=offline)
        limits, name = self.endpoint.timeouts, self.endpoint.name
        key = await asyncio.to_thread(read_key, self.endpoint)
        client = await self._opened.get(offline=offline)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.connect_s + min(limits.read_s, LIST_S)):
                return await client.models(key)
        raise CloudTimeoutError(f"{name!r} went silent", phase="read", endpoint=name)

    async def close(self) -> None:
        """Close connections that are kept for reuse. A second call is harmless."""
        await self._opened.close()

    def close_soon(self) -> None:
        """Close all connections, those in use as well, whatever thread and loop they belong to.

        Whoever still reads from one meets `CloudUnavailableError`.
        """
        self._opened.close_soon()


def _is_of_the_request(error: CloudError | None) -> bool:
    """Whether the endpoint is well, and just does not want this request."""
    return isinstance(error, CloudRequestError)


class _OpenClients:
    """The `openai` clients of one endpoint: connections belong to an event loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._clients: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[bool, asyncio.Task[SDKClient]]
        ] = weakref.WeakKeyDictionary()

    async def get(self, *, offline: bool) -> SDKClient:
        """The running loop's client; the first request makes it, others wait for it."""
        loop = asyncio.get_running_loop()
        with self._lock:
            mine = self._clients.setdefault(loop, {})
        making = mine.get(offline)
        if making is None or (making.done() and (making.cancelled() or making.exception())):
            making = loop.create_task(open_sdk_client(self._endpoint, offline=offline))
            mine[offline] = making
        try:
            # A caller that leaves while it is made takes it from nobody else.
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not making.cancelled() or (task is not None and task.cancelling()):
                raise
        name = self._endpoint.name
        raise CloudUnavailableError(f"the client of {name!r} was closed", endpoint=name)

    async def close(self) -> None:
        """Close the clients of the running loop; those of others end with their loops."""
        with self._lock:
            mine = self._clients.pop(asyncio.get_running_loop(), {})
        for making in mine.values():
            await _close(making)

    def close_soon(self) -> None:
        """Have every loop close its own."""
        with self._lock:
            everyone = list(self._clients.items())
            self._clients.clear()
        for loop, mine in everyone:
            for making in mine.values():
                with contextlib.suppress(RuntimeError):  # a loop that is closed closed it too
                    asyncio.run_coroutine_threadsafe(_close(making), loop)


async def _close(making: asyncio.Task[SDKClient]) -> None:
    if making.done() and not making.cancelled() and making.exception() is None:
        await making.result().close()
    else:
        making.cancel()
