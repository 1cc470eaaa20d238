"""The root of the tree."""

from __future__ import annotations

from typing import ClassVar


class EdgeLLMError(Exception):
    """Base of every error raised by `edge_llm`; its text says what happened, `hint` what to do."""

    code: ClassVar[str] = "edge_llm_error"
    """Machine-readable name, used as `error.code` by the HTTP server."""
    status_code: ClassVar[int] = 500
    """HTTP status."""
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without any change."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message
