"""Tools that fail, and runs of tool calls that come to a limit."""

from __future__ import annotations

from edge_llm.errors.base import EdgeLLMError


class ToolError(EdgeLLMError):
    """A function or server cannot be offered as tools. A call that fails is no error of a run."""

    code = "tool_error"
    status_code = 400


class ToolServerError(ToolError):
    """An MCP server does not start, does not answer, or has died."""

    code = "tool_server"
    status_code = 502
    retryable = True


class RunLimitExceededError(EdgeLLMError):
    """A run came to a limit before its model had answered; what was done until then is kept."""

    code = "run_limit"
    status_code = 429

    def __init__(
        self, message: str, *, hint: str | None = None, limit: str = "", result: object = None
    ) -> None:
        wider = f"raise {limit}, or look at `result` for what was done"
        super().__init__(message, hint=hint or wider)
        self.limit = limit
        """`max_turns`, `max_total_tokens`, `max_usd` or `deadline_s`."""
        self.result = result
        """The `RunResult` so far: its calls have been executed."""
