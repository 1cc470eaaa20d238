"""Requests that only the cloud can answer, kept on disk: stored, tried again, handed out once.

The rules of `deferred` hold: an answer is delivered at most once, and a crash may pay twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from edge_llm.errors import (
    AnswerDeferredError,
    CloudError,
    CloudForbiddenError,
    CloudRequestError,
    DeadlineExceededError,
    EdgeLLMError,
    LeaseLostError,
    NoRouteError,
    UnsupportedParameterError,
)
from edge_llm.runtime.deferred import DeferredQueue
from edge_llm.runtime.reading import read_answer
from edge_llm.types import Answer, Message, RequestOptions

logger = logging.getLogger(__name__)

RETRY_S = 60.0
"""How long a request that could not be answered waits for the next attempt."""

_LOST_ON_DISK = ("deadline_s", "deferred", "hold")
"""Options that mean nothing later."""

Ask = Callable[..., Awaitable[Answer]]


def can_wait(error: EdgeLLMError) -> bool:
    """Whether the same request may be answered once the network, or the cloud, is back."""
    if isinstance(error, CloudForbiddenError | CloudRequestError):
        return False
    return isinstance(error, CloudError | NoRouteError | DeadlineExceededError)


async def store(
    queue: DeferredQueue,
    messages: str | Sequence[Message],
    options: Mapping[str, Any],
    error: EdgeLLMError,
) -> AnswerDeferredError:
    """Keep a request; the error that tells its caller where it is.

    Raises:
        UnsupportedParameterError: it cannot be kept, because of a validator.
    """
    if options.get("validator") is not None:
        raise UnsupportedParameterError("a validator cannot be stored with a deferred request")
    kept = {name: value for name, value in options.items() if name not in _LOST_ON_DISK}
    prompt = messages if isinstance(messages, str) else [dict(one) for one in messages]
    request_id = await asyncio.to_thread(queue.put, {"messages": prompt, "options": kept})
    return AnswerDeferredError(
        f"the request is kept until the cloud can answer it ({error.code} now)",
        hint="answer_deferred() asks again, take_deferred() hands the answer out",
        request_id=request_id,
    )


async def answer_waiting(queue: DeferredQueue, ask: Ask) -> int:
    """Try every request that may be tried now; how many were answered."""
    answered = 0
    while (lease := await asyncio.to_thread(queue.lease)) is not None:
        options: RequestOptions = lease.request["options"]
        try:
            answer = await ask(lease.request["messages"], **options)
            if answer.degraded:
                await asyncio.to_thread(queue.fail, lease, "degraded", retry_in_s=RETRY_S)
            else:
                await asyncio.to_thread(queue.answer, lease, answer.to_dict())
                answered += 1
        except LeaseLostError:
            logger.info("another process answers a deferred request")
        except EdgeLLMError as error:
            retry_in_s = RETRY_S if can_wait(error) else None
            await asyncio.to_thread(queue.fail, lease, error.code, retry_in_s=retry_in_s)
    return answered


async def take(queue: DeferredQueue, request_id: str | None) -> Answer | None:
    """An answer that nobody has taken yet; None where there is none.

    Raises:
        DeferredNotFoundError: no such request.
    """
    found = await asyncio.to_thread(queue.take, request_id)
    return None if found is None or found.answer is None else read_answer(found.answer)
