"""From a request to the JSON body that an endpoint is sent. Pure; nothing is added to any text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from edge_llm.cloud.types import CloudRequest, Endpoint

_NEW_NAME_HOSTS = ("api.openai.com", ".openai.azure.com", ".cognitiveservices.azure.com")
"""Where `max_tokens` is refused by newer models.
Source: https://platform.openai.com/docs/api-reference/chat/create, read 2026-11-22."""

_SAME_NAMES = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "structured_outputs",
)


def request_body(request: CloudRequest, endpoint: Endpoint) -> dict[str, Any]:
    """The JSON body of the request for this endpoint, always streamed."""
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [dict(message) for message in request.messages],
        "stream": True,
    }
    if endpoint.usage_in_stream:
        body["stream_options"] = {"include_usage": True}
    for name in _SAME_NAMES:
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if request.stop:
        body["stop"] = list(request.stop)
    if request.tools:
        body["tools"] = [dict(tool) for tool in request.tools]
    if (max_tokens := _max_tokens(request, endpoint)) is not None:
        body[max_tokens_name(endpoint)] = max_tokens
    if request.top_logprobs is not None:
        body["logprobs"] = True
        body["top_logprobs"] = request.top_logprobs
    if request.continue_prefix:
        _mark_prefix(body, endpoint)
    for name in endpoint.omit:
        body.pop(name, None)
    return {**body, **endpoint.body, **request.body}


def body_bytes(body: Mapping[str, Any]) -> int:
    """Size of a body on the wire."""
    return len(json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str).encode())


def max_tokens_name(endpoint: Endpoint) -> str:
    """What this endpoint calls the longest answer."""
    if endpoint.max_tokens_name is not None:
        return endpoint.max_tokens_name
    host = urlsplit(endpoint.base_url).hostname or ""
    return "max_completion_tokens" if host.endswith(_NEW_NAME_HOSTS) else "max_tokens"


def _max_tokens(request: CloudRequest, endpoint: Endpoint) -> int | None:
    known = [n for n in (request.max_tokens, endpoint.max_output_tokens) if n is not None]
    return min(known, default=None)


def _mark_prefix(body: dict[str, Any], endpoint: Endpoint) -> None:
    if endpoint.prefix_style == "prefix":
        body["messages"][-1]["prefix"] = True
    elif endpoint.prefix_style == "vllm":
        body["continue_final_message"] = True
        body["add_generation_prompt"] = False
