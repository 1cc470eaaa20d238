"""From what an endpoint says is wrong to one of our errors. Pure.

Bodies may quote prompts and keys, so nothing of them is kept: only a status, a `code` and a `type`
that look like identifiers, and which of a few known things they mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edge_llm.cloud.retry import retry_after_s
from edge_llm.errors import (
    CloudAuthError,
    CloudContentFilterError,
    CloudContextLengthError,
    CloudError,
    CloudModelNotFoundError,
    CloudQuotaError,
    CloudRateLimitError,
    CloudRequestError,
    CloudResponseError,
    CloudUnavailableError,
)

_CODES: Mapping[str, type[CloudError]] = {
    "context_length_exceeded": CloudContextLengthError,
    "exceed_context_size_error": CloudContextLengthError,  # llama-server
    "string_above_max_length": CloudContextLengthError,
    "content_filter": CloudContentFilterError,  # Azure
    "content_policy_violation": CloudContentFilterError,
    "responsibleaipolicyviolation": CloudContentFilterError,
    "insufficient_quota": CloudQuotaError,
    "billing_hard_limit_reached": CloudQuotaError,
    "model_not_found": CloudModelNotFoundError,
    "deploymentnotfound": CloudModelNotFoundError,  # Azure
    "invalid_api_key": CloudAuthError,
    "rate_limit_exceeded": CloudRateLimitError,
    "server_error": CloudUnavailableError,
    "overloaded_error": CloudUnavailableError,
}
"""Source: error codes of OpenAI, Azure and llama-server, read 2026-11-22."""

_TOO_LONG = re.compile(
    r"maximum context length|context (?:length|size|window)|prompt is too long|too many tokens",
    re.I,
)
"""vLLM, OpenRouter and others say it in words alone."""

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,48}")


def status_error(
    endpoint: str, status: int, headers: Mapping[str, str], body: object
) -> CloudError:
    """The error behind an HTTP status of 300 or more; `headers` has lower-case names."""
    detail = _detail(body)
    kind = _kind(status, detail)
    return kind(
        f"{endpoint!r} {_WORDS[kind]} (HTTP {status}{_code_of(detail)})",
        hint=_HINTS.get(kind),
        endpoint=endpoint,
        status=status,
        retry_after_s=retry_after_s(headers),
    )


def stream_error(endpoint: str, detail: object) -> CloudError:
    """The error behind an `error` object in the middle of a stream."""
    error = _detail({"error": detail})
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else None
    kind = _kind(status or 502, error)
    return kind(
        f"{endpoint!r} {_WORDS[kind]} in the middle of its stream{_code_of(error, ' ')}",
        hint=_HINTS.get(kind),
        endpoint=endpoint,
        status=status,
    )


def own_words(body: object) -> Mapping[str, Any] | None:
    """What one of our own servers says of an error; None where it is not one of ours that speaks.

    `code`, `message`, `hint` and `details`, the numbers and names that the error carries.
    """
    detail = _detail(body)
    ours = detail.get("edge_llm")
    if not isinstance(ours, Mapping) or not isinstance(detail.get("code"), str):
        return None
    return {"code": detail["code"], **ours}


def _kind(status: int, detail: Mapping[str, Any]) -> type[CloudError]:
    for name in ("code", "type"):
        known = _CODES.get(str(detail.get(name, "")).lower())
        if known is not None:
            return known
    if status in (400, 413, 422) and _TOO_LONG.search(str(detail.get("message", ""))):
        return CloudContextLengthError
    if status >= 500 or status in (408, 409, 425):
        return CloudUnavailableError
    if status < 400:
        return CloudResponseError
    return _STATUSES.get(status, CloudRequestError)


_STATUSES: Mapping[int, type[CloudError]] = {
    401: CloudAuthError,
    402: CloudQuotaError,
    403: CloudAuthError,
    404: CloudModelNotFoundError,
    407: CloudUnavailableError,
    413: CloudContextLengthError,
    429: CloudRateLimitError,
    451: CloudContentFilterError,
}

_WORDS: Mapping[type[CloudError], str] = {
    CloudAuthError: "does not accept the key",
    CloudContentFilterError: "stopped the request by its content filter",
    CloudContextLengthError: "finds the conversation too long",
    CloudModelNotFoundError: "has no such model or address",
    CloudQuotaError: "says that nothing is left to spend",
    CloudRateLimitError: "says that these are too many requests",
    CloudRequestError: "refuses the request",
    CloudResponseError: "answered with something else than an answer",
    CloudUnavailableError: "cannot answer now",
}

_HINTS: Mapping[type[CloudError], str] = {
    CloudAuthError: "check the key; it is tried again when it changes",
    CloudModelNotFoundError: "check model and base_url",
    CloudQuotaError: "check the account's limits",
    CloudResponseError: "a redirect or a login page may stand in between; check base_url",
}


def _detail(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        return {}
    error = body.get("error", body)
    return error if isinstance(error, Mapping) else {}


def _code_of(detail: Mapping[str, Any], before: str = ", ") -> str:
    """The endpoint's own name for it, where it has the form of a name we know."""
    for name in ("code", "type"):
        value = detail.get(name)
        if isinstance(value, str) and _IDENTIFIER.fullmatch(value) and value.lower() in _CODES:
            return before + value
    return ""
