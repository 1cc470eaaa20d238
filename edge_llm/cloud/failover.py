"""Several endpoints in one tier: which is asked first, and who is asked when it fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, TypeAlias

from edge_llm.cloud.client import CloudClient, OnAttempt
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.types import CloudEvent, CloudRequest

EndpointOrder: TypeAlias = Literal["listed", "price", "latency"]
"""As configured, cheapest first for this request, or by measured time to the first piece."""


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
        raise NotImplementedError

    async def stream(
        self,
        request: CloudRequest,
        deadline: Deadline | None = None,
        *,
        on_attempt: OnAttempt | None = None,
    ) -> AsyncGenerator[CloudEvent]:
        """As `CloudClient.stream`, with the next endpoint where one fails before its first piece.

        Raises:
            CloudError: nobody answered; the error is that of the last one asked. Requests that
                one endpoint refuses for their content are not offered to the next.
            CloudForbiddenError: none of them may have it.
        """
        raise NotImplementedError
        yield  # the type of an asynchronous generator

    async def close(self) -> None:
        """Close every client."""
        for client in self.clients:
            await client.close()
