"""Several endpoints in one tier: which is asked first, and who is asked when it fails."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncGenerator, Sequence
from typing import Literal, TypeAlias

from edge_llm.cloud.breaker import BreakerPhase
from edge_llm.cloud.client import CloudClient, OnAttempt
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.pricing import cost_usd, estimate_prompt_tokens
from edge_llm.cloud.types import CloudEvent, CloudRequest, CloudUsage, Endpoint
from edge_llm.errors import (
    CloudContextLengthError,
    CloudError,
    CloudForbiddenError,
    CloudModelNotFoundError,
    CloudRequestError,
)

EndpointOrder: TypeAlias = Literal["listed", "price", "latency"]
"""As configured, cheapest first for this request, or by measured time to the first piece."""

EXPECTED_ANSWER_TOKENS = 512
"""For comparing prices where the request does not say how long its answer may be."""

_PHASES: tuple[BreakerPhase, ...] = ("closed", "half_open", "open")


class CloudTier:
    """The endpoints of one tier behind the same `stream` as a single one."""

    def __init__(self, clients: Sequence[CloudClient], *, order: EndpointOrder = "listed") -> None:
        self.clients = tuple(clients)
        self.order = order

    def candidates(self, request: CloudRequest) -> list[CloudClient]:
        """Those that may be asked, in the order in which they will be.

        Endpoints that lack a capability, are too small or may not have the request are left out;
        those whose breaker is open come last.
        """
        able = [client for client in self.clients if self._objection(client, request) is None]
        keyed = {client: self._key(client, request) for client in able}
        return sorted(able, key=lambda client: keyed[client])

    async def stream(
        self,
        request: CloudRequest,
        deadline: Deadline | None = None,
        *,
        on_attempt: OnAttempt | None = None,
    ) -> AsyncGenerator[CloudEvent]:
        """As `CloudClient.stream`, with the next endpoint where one fails before its first piece.

        While others wait their turn, an endpoint has its share of the time that is left to give
        out a first piece.

        Raises:
            CloudError: nobody answered; the error is that of the last one asked. Requests that
                one endpoint refuses for their content are not offered to the next.
            CloudForbiddenError: none of them may have it.
        """
        deadline = deadline or Deadline.never()
        clients = self.candidates(request)
        last: CloudError | None = None if clients else self._why_nobody(request)
        for number, client in enumerate(clients):
            given_out = False
            share = deadline.within(deadline.remaining_s / (len(clients) - number))
            attempts = client.stream(request, deadline, on_attempt=on_attempt, first_piece_by=share)
            try:
                async with contextlib.aclosing(attempts) as events:
                    async for event in events:
                        given_out = True
                        yield event
                return
            except CloudError as error:
                last = error
            if given_out or not _helps_to_ask_another(last):
                break
        if last is not None:
            raise last

    async def warm_up(self) -> None:
        """See `CloudClient.warm_up`."""
        for client in self.clients:
            await client.warm_up()

    async def close(self) -> None:
        """Close every client."""
        for client in self.clients:
            await client.close()

    def _objection(self, client: CloudClient, request: CloudRequest) -> CloudError | None:
        """Why this endpoint is not asked; None when it may be."""
        try:
            client.check(request)
        except CloudForbiddenError as error:
            return error
        return _missing(client.endpoint, request)

    def _why_nobody(self, request: CloudRequest) -> CloudError:
        for client in self.clients:
            objection = self._objection(client, request)
            if objection is not None:
                return objection
        return CloudError("the tier has no endpoints")

    def _key(self, client: CloudClient, request: CloudRequest) -> tuple[int, float]:
        phase = _PHASES.index(client.breaker_state.phase)
        if self.order == "price":
            return phase, _expected_usd(client.endpoint, request)
        if self.order == "latency":
            # Who was never measured is tried first, or it would never be.
            return phase, client.measured_ttft_s or 0.0
        return phase, 0.0


def _expected_usd(endpoint: Endpoint, request: CloudRequest) -> float:
    tokens = request.max_tokens or EXPECTED_ANSWER_TOKENS
    usd = cost_usd(endpoint.prices, CloudUsage(estimate_prompt_tokens(request), tokens))
    return math.inf if usd is None and endpoint.trust == "cloud" else usd or 0.0


def _missing(endpoint: Endpoint, request: CloudRequest) -> CloudRequestError | None:
    can = endpoint.capabilities
    wants = {
        "tools": bool(request.tools) and not can.tools,
        "a JSON schema": request.response_format is not None and not can.json_schema,
        "grammars": request.structured_outputs is not None and not can.grammar,
        "images": has_images(request) and not can.vision,
        "log-probabilities": request.top_logprobs is not None and not can.logprobs,
        "to continue a prefix": request.continue_prefix and not can.continue_prefix,
    }
    lacking = [name for name, is_lacking in wants.items() if is_lacking]
    if lacking:
        return CloudRequestError(
            f"{endpoint.name!r} does not offer {', '.join(lacking)}", endpoint=endpoint.name
        )
    if endpoint.context_length is not None and request.prompt_tokens is not None:
        needed = request.prompt_tokens + (request.max_tokens or 1)
        if needed > endpoint.context_length:
            return CloudContextLengthError(
                f"{needed} tokens are more than the {endpoint.context_length} of {endpoint.name!r}",
                endpoint=endpoint.name,
            )
    return None


def has_images(request: CloudRequest) -> bool:
    """Whether any message has a part that is not text."""
    contents = [message.get("content") for message in request.messages]
    parts = [part for content in contents if isinstance(content, list | tuple) for part in content]
    return any(part.get("type") != "text" for part in parts)


def _helps_to_ask_another(error: CloudError) -> bool:
    if isinstance(error, CloudModelNotFoundError | CloudContextLengthError):
        return True
    return not isinstance(error, CloudRequestError)
