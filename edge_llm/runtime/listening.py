"""Waiting for tiers: for one no longer than it has, for two until one of them speaks."""

from __future__ import annotations

import asyncio

from edge_llm.errors import EdgeLLMError
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.chat_request import ChatRequest
from edge_llm.runtime.cloud_attempt import CloudTierAttempt
from edge_llm.runtime.transcript import Piece

GRACE_S = 0.03
"""A tier that ends by its own limit is to say so before ours is up."""

PATIENCE = 0.5
"""Part of the time left that a tier has for its first token while a better one could be asked."""


def patience_s(request: ChatRequest, attempt: TierAttempt) -> float | None:
    """How long the tier's next words are waited for; None: as long as it takes."""
    left_s = request.time_left_s
    if isinstance(attempt, CloudTierAttempt):
        own_s = attempt.time_left_s + GRACE_S  # never infinite: no endpoint may take for ever
        return own_s if left_s is None else min(left_s, own_s)
    if left_s is None:
        return None
    if attempt.first_token_s is None and attempt.refusal is None and not attempt.draft.is_free:
        return PATIENCE * left_s
    return left_s


async def hear_both(attempt: TierAttempt, rival: CloudTierAttempt) -> tuple[TierAttempt, Piece]:
    """Whoever speaks first; a rival that fails has an `error` and is to be forgotten.

    Raises:
        EdgeLLMError: `attempt` failed.
    """
    asked = {asyncio.ensure_future(one.next()): one for one in (attempt, rival)}
    try:
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        for task, one in asked.items():
            if not task.cancelled() and task.exception() is None:
                one.put_back(task.result())
    for task, one in asked.items():
        error = None if task.cancelled() else task.exception()
        if one is rival and isinstance(error, EdgeLLMError):
            rival.error = error
        elif error is not None:
            raise error
    speaker = rival if rival.has_unheard and not attempt.has_unheard else attempt
    return speaker, await speaker.next()
