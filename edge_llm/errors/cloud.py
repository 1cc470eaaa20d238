"""Endpoints elsewhere that do not answer, or may not be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_llm.errors.base import EdgeLLMError

if TYPE_CHECKING:
    from collections.abc import Mapping


class CloudError(EdgeLLMError):
    """An endpoint elsewhere did not answer the request. Never quotes a body, a prompt or a key."""

    code = "cloud_error"
    status_code = 502

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        endpoint: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.endpoint = endpoint
        """Its configured name."""
        self.status = status
        """The HTTP status it sent, where it sent one."""
        self.retry_after_s = retry_after_s
        """How long it asks to be left alone."""
        self.own_words: Mapping[str, Any] | None = None
        """What one of our own servers said; never set for anybody else's."""


class CloudUnavailableError(CloudError):
    """The endpoint cannot be reached, or says that it cannot answer now."""

    code = "cloud_unavailable"
    status_code = 503
    retryable = True


class CircuitOpenError(CloudUnavailableError):
    """The endpoint failed too often, or refused the key; nothing was sent."""

    code = "cloud_circuit_open"


class CloudTimeoutError(CloudError):
    """The endpoint took too long; `phase` says for what: `connect`, `read` or `total`."""

    code = "cloud_timeout"
    status_code = 504
    retryable = True

    def __init__(self, message: str, *, phase: str, endpoint: str = "") -> None:
        super().__init__(message, endpoint=endpoint)
        self.phase = phase


class CloudRateLimitError(CloudError):
    """Too many requests; `retry_after_s` says when to come back, where the endpoint said it."""

    code = "cloud_rate_limit"
    status_code = 429
    retryable = True


class CloudQuotaError(CloudRateLimitError):
    """The account has nothing left to spend; waiting does not help."""

    code = "cloud_quota"
    retryable = False


class CloudAuthError(CloudError):
    """The endpoint does not accept the key (401, 403), or the key cannot be read."""

    code = "cloud_auth"


class CloudResponseError(CloudError):
    """What came back is no answer: bad JSON, another content type, too much of it."""

    code = "cloud_bad_response"
    retryable = True


class CloudTruncatedError(CloudResponseError):
    """The stream ended before the answer did."""

    code = "cloud_truncated"


class CloudRequestError(CloudError):
    """The endpoint refuses the request as it is; asking again does not help."""

    code = "cloud_request"


class CloudModelNotFoundError(CloudRequestError):
    """The endpoint has no such model, or not for this key."""

    code = "cloud_model_not_found"


class CloudContextLengthError(CloudRequestError):
    """The conversation is too long for the endpoint's model."""

    code = "cloud_context_length"


class CloudContentFilterError(CloudRequestError):
    """The endpoint's content filter stopped the request or the answer."""

    code = "cloud_content_filter"


class CloudForbiddenError(CloudError):
    """Our own door refuses to send the request there; not a byte has left."""

    code = "cloud_forbidden"
    status_code = 403


class OfflineError(CloudForbiddenError):
    """`EDGE_LLM_OFFLINE=1`: only this machine may be asked."""

    code = "offline"


class PrivacyError(CloudForbiddenError):
    """The request's privacy label does not let it go to an endpoint of this trust."""

    code = "privacy"


class RedactionError(PrivacyError):
    """A part of the request could not be redacted, so that none of it may leave.

    Never quotes the text, nor chains an exception that may.
    """

    code = "redaction_failed"
