"""`POST /v1/chat/completions`: one conversation in, its answer out, streamed or whole."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from starlette.types import Receive, Scope, Send

from edge_llm.errors import EdgeLLMError, ModelNotFoundError
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.server.errors import error_object
from edge_llm.server.http import (
    CallerLeftError,
    EventStream,
    InternalError,
    logger,
    read_json,
    send_error,
    send_json,
    while_connected,
)
from edge_llm.server.models import model_names
from edge_llm.server.schemas import ChatCompletionRequest, parse_chat_request
from edge_llm.types import Answer, Chunk, TokenLogprob, ToolCall


class ChatCompletions:
    """The endpoint; ends its work within a decode step of its client's leaving."""

    def __init__(self, llm: AsyncEdgeLLM) -> None:
        self._llm = llm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        try:
            body = await read_json(scope, receive)
        except CallerLeftError:
            return
        except EdgeLLMError as error:
            await send_error(send, error)
            return
        await while_connected(self._answer(body, send), receive)

    async def _answer(self, body: Any, send: Send) -> None:
        events = EventStream(send)
        try:
            request = parse_chat_request(body)
            if request.model not in model_names(self._llm):
                raise ModelNotFoundError(
                    f"no model {request.model!r} is loaded here", hint="GET /v1/models lists them"
                )
            options = request.options()
            if not request.stream:
                await _send_whole(send, await self._llm.chat(request.messages, **options))
                return
            chunks = self._llm.stream(request.messages, **options)
            async with contextlib.aclosing(chunks):
                await _send_stream(events, chunks, request)
        except EdgeLLMError as error:
            await _fail(send, events, error)
        except Exception:  # noqa: BLE001 — the root of the server: nothing else would answer
            logger.exception("a chat completion failed")
            await _fail(send, events, InternalError("the server failed", hint="see its log"))


async def _fail(send: Send, events: EventStream, error: EdgeLLMError) -> None:
    """Tell of an error, by status while nothing was sent, else in the stream, which then ends."""
    if not events.began:
        await send_error(send, error)
        return
    await events.event(error_object(error))
    await events.end()


async def _send_whole(send: Send, answer: Answer) -> None:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.tool_calls:
        message["tool_calls"] = [_call(call) for call in answer.tool_calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": _logprobs(answer.logprobs),
        "finish_reason": answer.finish_reason,
    }
    body = {
        **_frame("chat.completion", f"chatcmpl-{answer.trace_id}", answer.model),
        "choices": [choice],
        "usage": usage_object(answer),
        "edge_llm": answer.to_dict(),
    }
    headers = {"x-edge-llm-route": answer.route, "x-edge-llm-trace-id": answer.trace_id}
    await send_json(send, 200, body, headers)


async def _send_stream(
    events: EventStream, chunks: AsyncGenerator[Chunk], request: ChatCompletionRequest
) -> None:
    frame = _frame("chat.completion.chunk", f"chatcmpl-{time.time_ns():x}", request.model)
    role: dict[str, Any] = {"role": "assistant"}
    async for chunk in chunks:
        deltas = list(_deltas(chunk)) or ([{}] if chunk.logprobs else [])
        for number, delta in enumerate(deltas):
            shown = chunk if number == 0 else Chunk()
            await events.event({**frame, "choices": [_choice(role | delta, shown)]})
            role = {}
        if chunk.answer is not None:
            last = {**frame, "model": chunk.answer.model, "edge_llm": chunk.answer.to_dict()}
            finish = _choice(role, Chunk()) | {"finish_reason": chunk.answer.finish_reason}
            await events.event({**last, "choices": [finish]})
            if request.stream_options is not None and request.stream_options.include_usage:
                usage = usage_object(chunk.answer)
                await events.event({**frame, "choices": [], "usage": usage})
    await events.event("[DONE]")
    await events.end()


def _deltas(chunk: Chunk) -> Iterator[dict[str, Any]]:
    """What a chunk adds: of a call its name first, then its arguments, as OpenAI sends them."""
    delta: dict[str, Any] = {}
    if chunk.text:
        delta["content"] = chunk.text
    if chunk.reasoning:
        delta["reasoning_content"] = chunk.reasoning
    if delta:
        yield delta
    piece = chunk.tool_call_delta
    if piece is None:
        return
    if piece.name is not None:
        function = {"name": piece.name, "arguments": ""}
        begun = {"index": piece.index, "id": piece.id, "type": "function", "function": function}
        yield {"tool_calls": [begun]}
    if piece.arguments:
        more = {"index": piece.index, "function": {"arguments": piece.arguments}}
        yield {"tool_calls": [more]}


def _choice(delta: dict[str, Any], chunk: Chunk) -> dict[str, Any]:
    return {
        "index": 0,
        "delta": delta,
        "logprobs": _logprobs(chunk.logprobs or None),
        "finish_reason": None,
    }


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _logprobs(logprobs: tuple[TokenLogprob, ...] | None) -> dict[str, Any] | None:
    return None if logprobs is None else {"content": [one.to_dict() for one in logprobs]}


def usage_object(answer: Answer) -> dict[str, Any]:
    """`usage` as OpenAI has it."""
    usage = answer.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _frame(kind: str, name: str, model: str) -> dict[str, Any]:
    return {"id": name, "object": kind, "created": int(time.time()), "model": model}
