"""Calls made to happen: checked, approved, bounded in time, and told to the model as text."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_llm.errors import ToolError
from edge_llm.runtime.structured.python_type import TypeMismatchError, to_json
from edge_llm.runtime.structured.verify import arguments_violation
from edge_llm.runtime.structured.violation import shorten
from edge_llm.runtime.tools.types import Approve, Tool, ToolResult, ToolStatus
from edge_llm.types import ToolCall

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Executor:
    """What is registered, and its limits. Nothing else is ever called."""

    tools: Mapping[str, Tool]
    approve: Approve | None = None
    timeout_s: float = 30.0
    max_result_chars: int = 8000

    async def execute(self, call: ToolCall, time_left_s: float | None = None) -> ToolResult:
        """The result of one call; whatever goes wrong in it is a result too."""
        started_s = time.perf_counter()
        try:
            status, value = await self._outcome(call, time_left_s)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            logger.info("the tool %s raised %s", call.name, type(exc).__name__, exc_info=exc)
            said = str(exc)
            is_ours = isinstance(exc, ToolError)
            status, value = "error", said if is_ours else f"{type(exc).__name__}: {said}"
        content, omitted = _bounded(_text(value, status), self.max_result_chars)
        took_s = time.perf_counter() - started_s
        kept = value if status == "ok" else None
        return ToolResult(call, content, status, kept, took_s, omitted)

    async def _outcome(self, call: ToolCall, time_left_s: float | None) -> tuple[ToolStatus, Any]:
        tool = self.tools.get(call.name)
        if tool is None:
            known = ", ".join(self.tools)
            return "unknown", f"there is no tool {call.name!r}; there are: {known}"
        violation = arguments_violation(call, tool.parameters)
        if violation is not None:
            return "invalid", f"the arguments do not fit: {violation.shown}"
        try:
            values = call.arguments if tool.convert is None else tool.convert(call.arguments)
        except TypeMismatchError as error:
            return "invalid", f"the arguments do not fit: {error}"
        if tool.needs_approval and not await self._is_approved(call):
            return "denied", "the user did not allow this call"
        limits = (tool.timeout_s or self.timeout_s, time_left_s)
        limit_s = min(one for one in limits if one is not None)
        try:
            async with asyncio.timeout(limit_s) as clock:
                return "ok", await _call(tool, values)
        except TimeoutError:
            if not clock.expired():
                raise
            return "timeout", f"no result after {limit_s:g} seconds; it may still be at work"

    async def _is_approved(self, call: ToolCall) -> bool:
        if self.approve is None:
            return False
        said = await _in_thread(lambda: self.approve(call))  # type: ignore[misc]
        return (await said if inspect.isawaitable(said) else said) is True


async def _call(tool: Tool, values: Mapping[str, Any]) -> Any:
    result = tool.call(values) if tool.is_async else await _in_thread(lambda: tool.call(values))
    return await result if isinstance(result, Awaitable) else result


async def _in_thread(work: Callable[[], Any]) -> Any:
    """What `work` returns, in a thread of its own that nobody has to wait for.

    A pool would make the end of the program wait for a function that never returns.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def tell(setter: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            setter(value)

    def run() -> None:
        try:
            outcome = (done.set_result, context.run(work))
        except BaseException as exc:  # noqa: BLE001 — raised where it is awaited
            error = RuntimeError(repr(exc)) if isinstance(exc, StopIteration | SystemExit) else exc
            outcome = (done.set_exception, error)
        try:
            loop.call_soon_threadsafe(tell, *outcome)
        except RuntimeError:  # the loop is closed: nobody waits any more
            logger.debug("a tool ended after its run")

    threading.Thread(target=run, name="edge-llm-tool", daemon=True).start()
    return await done


def _text(value: Any, status: ToolStatus) -> str:
    if status == "error":
        return f"error: {shorten(str(value), 1000)}"
    if status != "ok":
        return f"error: {value}"
    return value if isinstance(value, str) else to_json(value)


def _bounded(text: str, most: int) -> tuple[str, int]:
    """The text, or its begin and end with a note between them; and how much was left out."""
    if len(text) <= most:
        return text, 0
    omitted = len(text) - most
    head = most - most // 4
    note = f"\n[… {omitted} characters left out …]\n"
    return text[:head] + note + text[len(text) - most // 4 :], omitted
