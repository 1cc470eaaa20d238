"""Requests that no tier may have, or whose answer none could give."""

from __future__ import annotations

import time

from edge_llm.errors.base import EdgeLLMError


class RoutingError(EdgeLLMError):
    """No tier may have the request."""

    code = "routing_error"
    status_code = 503


class NoRouteError(RoutingError):
    """Every tier was refused: forbidden, out of reach, or not able to."""

    code = "no_route"


class AnswerRejectedError(RoutingError):
    """No tier gave an answer that validates, and one that does not is not passed on."""

    code = "answer_rejected"
    status_code = 502
    retryable = True


class InvalidAnswerError(AnswerRejectedError):
    """The answer, or a call in it, breaks the schema, grammar or choice that was asked for."""

    code = "answer_invalid"

    def __init__(
        self, message: str, *, hint: str | None = None, path: str = "$", keyword: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        """Where in the answer, as `$.ingredients[2].grams`; a call begins with its tool's name."""
        self.keyword = keyword
        """What was broken there: a keyword of JSON Schema, `json`, `regex`, `choice`, `type` …"""


class TruncatedAnswerError(AnswerRejectedError):
    """The answer was cut off, by `max_tokens` or the end of the context, before it was whole."""

    code = "answer_truncated"
    status_code = 422
    retryable = False


class AnswerDeferredError(RoutingError):
    """Only the cloud could answer, and cannot now: the request is stored until it can."""

    code = "answer_deferred"
    status_code = 503

    def __init__(self, message: str, *, hint: str | None = None, request_id: str = "") -> None:
        super().__init__(message, hint=hint)
        self.request_id = request_id


class BudgetExceededError(RoutingError):
    """The request would pass a limit in USD or in bytes sent; nothing was reserved."""

    code = "budget_exceeded"
    status_code = 429

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        allowed: float,
        spent: float,
        requested: float,
        resets_at: float | None,
    ) -> None:
        hint = None if resets_at is None else f"the limit resets at {_utc(resets_at)}"
        super().__init__(message, hint=hint or f"no reset helps; raise {limit}")
        self.limit = limit
        """`daily_usd`, `monthly_usd`, `daily_bytes` or `monthly_bytes`."""
        self.allowed = allowed
        """Of that limit, in USD or bytes."""
        self.spent = spent
        """Reservations included."""
        self.requested = requested
        self.resets_at = resets_at
        """Seconds since the epoch; None when the request alone is more than the limit."""


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
