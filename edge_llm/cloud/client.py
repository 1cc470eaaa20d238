"""One endpoint, asked with patience: retries, breaker, deadline, and a record of each attempt."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from edge_llm.cloud.breaker import BreakerState, CircuitBreaker
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.types import CloudAttempt, CloudEvent, CloudRequest, Endpoint, Trust

OnAttempt = Callable[[CloudAttempt], None]
"""Told of each attempt as it ends, once, also when its caller left; must not block or raise."""


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
    ) -> None:
        """Check the endpoint's own consistency.

        `local_trust` is how far `local_only` reaches: `device`, or `lan` where the configuration
        says that the owner's own network counts as local.

        Raises:
            ConfigError: the endpoint contradicts itself.
        """
        self.endpoint = endpoint
        self.local_trust = local_trust
        self.breaker = breaker or CircuitBreaker()

    @property
    def breaker_state(self) -> BreakerState:
        """See `CircuitBreaker.state`."""
        return self.breaker.state

    @property
    def measured_ttft_s(self) -> float | None:
        """Moving average of the time to the first piece; None before the first answer."""
        raise NotImplementedError

    def check(self, request: CloudRequest) -> None:
        """Whether the door would let this request pass to this endpoint; sends nothing.

        Looks at label, trust and `EDGE_LLM_OFFLINE` only. `stream` checks again, and the
        addresses that the endpoint's name resolves to as well.

        Raises:
            CloudForbiddenError: it would not.
        """
        raise NotImplementedError

    async def stream(
        self,
        request: CloudRequest,
        deadline: Deadline | None = None,
        *,
        on_attempt: OnAttempt | None = None,
    ) -> AsyncGenerator[CloudEvent]:
        """The answer in pieces, the last of them `CloudFinish`; leaving early closes the socket.

        Failed attempts are repeated with full jitter, no sooner than the endpoint asks and only
        while the deadline allows, until the first piece has been given out; after that, what
        was given out is never repeated and a failure is raised. No answer is complete without
        a `CloudFinish`.

        Raises:
            CloudError: no answer could be had; its class says why.
        """
        raise NotImplementedError
        yield  # the type of an asynchronous generator

    async def close(self) -> None:
        """Close connections that are kept for reuse. A second call is harmless."""
        raise NotImplementedError
