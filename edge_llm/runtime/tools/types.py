"""The values of a run: tools in, steps and a result out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from edge_llm.types import Answer, Chunk, ConversationOptions, Message, ToolCall, Usage

ToolStatus: TypeAlias = Literal["ok", "error", "timeout", "invalid", "unknown", "denied"]
"""What became of a call: executed; it raised, or took too long; its arguments are not what the
tool takes; there is no such tool; or nobody approved it. Only the first three were executed."""

Approve: TypeAlias = Callable[[ToolCall], bool | Awaitable[bool]]
"""Asked before a call of a tool with `needs_approval`; only True lets it happen."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(repr=False)
    """JSON Schema of an object: the arguments."""
    call: Callable[[Mapping[str, Any]], Any] = field(repr=False)
    """Takes checked arguments by name; what it returns may have to be awaited."""
    is_async: bool = False
    """Whether `call` is awaited; otherwise it runs in a thread of its own."""
    convert: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = field(
        default=None, repr=False
    )
    """From JSON values to the annotated types; ValueError tells the model what is wrong."""
    timeout_s: float | None = None
    """Seconds that one call may take; None takes the run's."""
    needs_approval: bool = False
    """Whether `approve` is asked before each call."""
    privacy: str | None = None
    """Label of its results, such as `local_only`: from then on the conversation has it too."""

    @property
    def definition(self) -> dict[str, Any]:
        """As the OpenAI API describes a tool."""
        described = {"name": self.name, "description": self.description}
        return {"type": "function", "function": {**described, "parameters": dict(self.parameters)}}


class ToolSource(Protocol):
    """Brings several tools, such as an MCP server."""

    async def list_tools(self) -> Sequence[Tool]:
        """What it offers now.

        Raises:
            ToolError: it cannot be had.
        """
        ...


ToolLike: TypeAlias = Tool | ToolSource | Callable[..., Any]
"""What `run` takes: a Python function with type hints, a `Tool`, or something that brings tools."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """One executed, or refused, call."""

    call: ToolCall
    content: str
    """What the model is told."""
    status: ToolStatus = "ok"
    value: Any = field(default=None, repr=False)
    """What the function returned."""
    time_s: float = 0.0
    omitted_chars: int = 0
    """Characters of the result that were left out, because it was too long."""


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of the model, and what its calls led to."""

    turn: int
    """1 for the first."""
    answer: Answer
    results: tuple[ToolResult, ...] = ()
    """In the order of the calls; empty for the last turn."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A whole run."""

    answer: Answer
    """What the model said last: the answer to the task."""
    steps: tuple[Step, ...]
    messages: tuple[Message, ...] = field(repr=False)
    """The conversation, calls, results and last answer included, to go on with."""
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    """Of all turns."""
    cost_usd: float = 0.0
    privacy: str | None = None
    """The strictest label of request and tool results, for whoever goes on with `messages`."""

    @property
    def text(self) -> str:
        """Of the answer."""
        return self.answer.text

    @property
    def parsed(self) -> Any:
        """Of the answer."""
        return self.answer.parsed

    @property
    def results(self) -> tuple[ToolResult, ...]:
        """Of all steps, in order."""
        return tuple(result for step in self.steps for result in step.results)


RunEvent: TypeAlias = Chunk | Step | RunResult
"""What `run_stream` yields: answers in pieces, each turn with its results, and last the result."""


class RunOptions(ConversationOptions, total=False):
    """The keyword options of `run`: those of `chat`, and limits. `deadline_s` is of the whole."""

    max_turns: int
    """How often the model is asked, 8."""
    max_total_tokens: int | None
    """Prompt and answer tokens of all turns together."""
    max_usd: float | None
    """US dollars of all turns together; the turn that passes it is the last."""
    tool_timeout_s: float
    """Seconds that a call may take, 30, where its tool has no limit of its own."""
    max_result_chars: int
    """Longest result that the model is shown whole, 8000; of longer ones begin and end."""
    approve: Approve | None
    """Asked before each call of a tool that needs approval."""
