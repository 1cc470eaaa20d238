"""The loop: the model is asked, its calls are executed and told to it, until it answers.

Only what was registered is executed, and the loop ends by its limits. Written once, for whatever
can stream an answer: local tiers, the cloud, or a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, TypeAlias

from edge_llm.errors import (
    DeadlineExceededError,
    InvalidParameterError,
    RunLimitExceededError,
    RuntimeClosedError,
    ToolError,
)
from edge_llm.privacy import effective_label
from edge_llm.prompt.messages import messages_from
from edge_llm.runtime.tools.collect import collect
from edge_llm.runtime.tools.execute import Executor
from edge_llm.runtime.tools.messages import assistant_message, tool_message
from edge_llm.runtime.tools.types import RunEvent, RunResult, Step, Tool, ToolLike, ToolResult
from edge_llm.types import Answer, Chunk, Message, ToolCall, Usage

MAX_CALLS_PER_TURN = 32
"""Further calls of one answer are refused."""

_DEFAULTS: dict[str, Any] = {
    "max_turns": 8,
    "max_total_tokens": None,
    "max_usd": None,
    "tool_timeout_s": 30.0,
    "max_result_chars": 8000,
    "approve": None,
}


Stream: TypeAlias = Callable[..., AsyncGenerator[Chunk]]
"""What streams an answer to a conversation, as `AsyncEdgeLLM.stream`."""


async def run_loop(
    stream: Stream,
    messages: str | Sequence[Message],
    tools: Iterable[ToolLike],
    options: dict[str, Any],
) -> AsyncGenerator[RunEvent]:
    """Answers in pieces, each turn with its results, and last the `RunResult`.

    Raises:
        ToolError: something is no tool.
        RunLimitExceededError: a limit came before an answer without calls.
        EdgeLLMError: as `chat`; what was executed before is in the steps that came.
    """
    limits = {name: options.pop(name, default) for name, default in _DEFAULTS.items()}
    run = _Run(stream, messages_from(messages), await collect(tools), limits, options)
    async with contextlib.aclosing(run.events()) as events:
        async for event in events:
            yield event


class _Run:
    """One run under way."""

    def __init__(
        self,
        stream: Stream,
        messages: list[dict[str, Any]],
        tools: dict[str, Tool],
        limits: dict[str, Any],
        options: dict[str, Any],
    ) -> None:
        _check(limits)
        self._stream = stream
        self._messages: list[Message] = list(messages)
        self._tools = tools
        self._limits = limits
        self._options = options
        self._privacy: str | None = options.get("privacy")
        self._ends_s = _end_of(options.pop("deadline_s", None))
        self._steps: list[Step] = []
        self._executor = Executor(
            tools, limits["approve"], limits["tool_timeout_s"], limits["max_result_chars"]
        )
        _check_approval(tools, limits)

    async def events(self) -> AsyncGenerator[RunEvent]:
        while True:
            answer: Answer | None = None
            async with contextlib.aclosing(self._turn()) as chunks:
                async for chunk in chunks:
                    answer = chunk.answer
                    yield chunk
            if answer is None:
                raise RuntimeClosedError("the stream ended without an answer")
            self._messages.append(assistant_message(answer))
            results = await self._execute(answer.tool_calls)
            self._messages += [tool_message(result) for result in results]
            self._steps.append(Step(len(self._steps) + 1, answer, results))
            yield self._steps[-1]
            if not answer.tool_calls:
                yield self._result(answer)
                return
            self._check_limits(answer)

    async def _turn(self) -> AsyncGenerator[Chunk]:
        options = {**self._options, "tools": [tool.definition for tool in self._tools.values()]}
        if not self._tools:
            del options["tools"]
        if self._privacy is not None:
            options["privacy"] = self._privacy
        if self._steps and options.get("tool_choice") not in (None, "none"):
            options["tool_choice"] = "auto"  # who must call for ever never answers
        left_s = self._time_left_s
        if left_s is not None:
            options["deadline_s"] = left_s
        try:
            async with contextlib.aclosing(self._stream(self._messages, **options)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except DeadlineExceededError as error:
            if not self._steps:
                raise
            raise self._limit("deadline_s", self._steps[-1].answer) from error

    async def _execute(self, calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        """The results of all calls, which happen side by side."""
        allowed, refused = calls[:MAX_CALLS_PER_TURN], calls[MAX_CALLS_PER_TURN:]
        left_s = self._time_left_s
        results = await asyncio.gather(*(self._executor.execute(call, left_s) for call in allowed))
        for result in results:
            self._take_label(result)
        why = f"error: more than {MAX_CALLS_PER_TURN} calls at once; this one was not made"
        return (*results, *(ToolResult(call, why, "denied") for call in refused))

    def _take_label(self, result: ToolResult) -> None:
        """What a tool said may be kept more strictly than the conversation before it."""
        tool = self._tools.get(result.call.name)
        if tool is not None and tool.privacy is not None and result.status != "unknown":
            self._privacy = str(effective_label(self._privacy, tool.privacy))

    def _check_limits(self, answer: Answer) -> None:
        left_s = self._time_left_s
        if left_s is not None and left_s <= 0:
            raise self._limit("deadline_s", answer)
        if len(self._steps) >= self._limits["max_turns"]:
            raise self._limit("max_turns", answer)
        usage, most = self._usage(), self._limits["max_total_tokens"]
        if most is not None and usage.prompt_tokens + usage.completion_tokens >= most:
            raise self._limit("max_total_tokens", answer)
        if self._limits["max_usd"] is not None and self._cost_usd >= self._limits["max_usd"]:
            raise self._limit("max_usd", answer)

    def _limit(self, name: str, answer: Answer) -> RunLimitExceededError:
        turns = len(self._steps)
        message = f"the run came to its {name} after {turns} turn{'' if turns == 1 else 's'}"
        return RunLimitExceededError(message, limit=name, result=self._result(answer))

    def _result(self, answer: Answer) -> RunResult:
        return RunResult(
            answer,
            tuple(self._steps),
            tuple(self._messages),
            self._usage(),
            self._cost_usd,
            self._privacy,
        )

    def _usage(self) -> Usage:
        used = [step.answer.usage for step in self._steps]
        return Usage(
            sum(usage.prompt_tokens for usage in used),
            sum(usage.completion_tokens for usage in used),
            sum(usage.cached_tokens for usage in used),
        )

    @property
    def _cost_usd(self) -> float:
        return sum(step.answer.cost_usd for step in self._steps)

    @property
    def _time_left_s(self) -> float | None:
        return None if self._ends_s is None else max(0.0, self._ends_s - time.monotonic())


def _end_of(deadline_s: Any) -> float | None:
    if deadline_s is None:
        return None
    if isinstance(deadline_s, bool) or not isinstance(deadline_s, int | float) or deadline_s <= 0:
        raise InvalidParameterError(f"deadline_s must be seconds above 0, not {deadline_s!r}")
    return time.monotonic() + deadline_s


def _check(limits: dict[str, Any]) -> None:
    for name in ("max_turns", "tool_timeout_s", "max_result_chars"):
        _check_number(name, limits[name])
    for name in ("max_total_tokens", "max_usd"):
        if limits[name] is not None:
            _check_number(name, limits[name])
    if limits["approve"] is not None and not callable(limits["approve"]):
        raise InvalidParameterError("approve must be callable: a call in, True or False out")


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidParameterError(f"{name} must be a number above 0, not {value!r}")


def _check_approval(tools: dict[str, Tool], limits: dict[str, Any]) -> None:
    wanting = [tool.name for tool in tools.values() if tool.needs_approval]
    if wanting and limits["approve"] is None:
        raise ToolError(
            f"{', '.join(wanting)}: nobody is there to approve calls",
            hint="pass approve=, a function that gets the call and returns True or False",
        )
