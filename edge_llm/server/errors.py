"""Errors as an OpenAI client expects them: a status and `{"error": {…}}`."""

from __future__ import annotations

from typing import Any

from edge_llm.errors import EdgeLLMError


def error_object(error: EdgeLLMError) -> dict[str, Any]:
    """The body that tells of `error`; `hint` is ours, other clients ignore it."""
    kind = "invalid_request_error" if error.status_code < 500 else "server_error"
    return {
        "error": {
            "message": str(error),
            "type": kind,
            "param": None,
            "code": error.code,
            "edge_llm": {
                "message": error.message,
                "hint": error.hint,
                "details": _details(error),
            },
        }
    }


def _details(error: EdgeLLMError) -> dict[str, Any]:
    """Numbers and names that the error carries besides its words."""
    return {
        name: value
        for name, value in vars(error).items()
        if name not in ("message", "hint") and isinstance(value, str | int | float)
    }


def error_headers(error: EdgeLLMError) -> dict[str, str]:
    """Headers that go with it: when to come back, where somebody said so."""
    seconds = getattr(error, "retry_after_s", None)
    return {} if seconds is None else {"retry-after": f"{max(1, round(seconds))}"}
