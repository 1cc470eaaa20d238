"""What a chat completion may ask for, as it comes over HTTP. The only place with pydantic models.

Source: https://platform.openai.com/docs/api-reference/chat/create, read 2026-11-22.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_llm.errors import InvalidParameterError

IGNORED = frozenset({"metadata", "service_tier", "store", "user"})
"""Members that standard clients send and that change nothing here."""


class StreamOptions(BaseModel):
    """What a stream tells besides its pieces."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class StructuredOutputs(BaseModel):
    """The form of an answer as vLLM's clients ask for it; one of them.

    Source: https://docs.vllm.ai/en/latest/features/structured_outputs.html, read 2026-11-22.
    """

    model_config = ConfigDict(extra="forbid")

    json_schema: dict[str, Any] | str | None = Field(None, alias="json")
    json_object: bool | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None

    def options(self) -> dict[str, Any]:
        """The options of the runtime that this means."""
        schema = self.json_schema
        if isinstance(schema, str):
            schema = _parsed(schema)
        response_format: dict[str, Any] | None = None
        if schema is not None:
            response_format = {"type": "json_schema", "json_schema": {"schema": schema}}
        elif self.json_object:
            response_format = {"type": "json_object"}
        return {
            "response_format": response_format,
            "regex": self.regex,
            "choice": self.choice,
            "grammar": self.grammar,
        }


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidParameterError("structured_outputs.json is not JSON") from None


class Extras(BaseModel):
    """Our own options of a request, in its member `edge_llm`; the runtime judges their values."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    penalty_window: int | None = None
    system: str | None = None
    overflow: str | None = None
    privacy: str | None = None
    deadline_s: float | None = None
    hold: str | None = None
    on_doubt: str | None = None
    tags: list[str] | None = None
    language: str | None = None
    deferred: bool | None = None
    thinking_budget: int | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None


class ChatCompletionRequest(BaseModel):
    """The body of `POST /v1/chat/completions`; an unknown member is an error."""

    model_config = ConfigDict(extra="forbid")

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logit_bias: dict[int, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    structured_outputs: StructuredOutputs | None = None
    edge_llm: Extras | None = None

    def options(self) -> dict[str, Any]:
        """The keyword options of the runtime that this means."""
        given = {name: getattr(self, name) for name in _SAME_NAMES}
        given["max_tokens"] = self.max_completion_tokens or self.max_tokens
        if self.logprobs:
            given["top_logprobs"] = self.top_logprobs or 0
        if self.response_format == {"type": "text"}:
            given.pop("response_format")
        if self.edge_llm is not None:
            given |= _present(self.edge_llm.model_dump())
        if self.structured_outputs is not None:
            given |= _present(self.structured_outputs.options())
        return {name: value for name, value in given.items() if value is not None}


def _present(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


_SAME_NAMES = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "logit_bias",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
)


def parse_chat_request(body: object) -> ChatCompletionRequest:
    """The request in a body's JSON.

    Raises:
        InvalidParameterError: it is none; the message names the members, not their values.
    """
    if not isinstance(body, dict):
        raise InvalidParameterError("the body must be a JSON object")
    known = {name: value for name, value in body.items() if name not in IGNORED}
    try:
        return ChatCompletionRequest.model_validate(known)
    except ValidationError as exc:
        problems = exc.errors(include_url=False, include_input=False, include_context=False)
    told = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems[:5])
    raise InvalidParameterError(told)
