"""From the JSON of a chat completion's stream to our events, whatever oddities it has. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from edge_llm.cloud.failures import own_words, stream_error
from edge_llm.cloud.tool_calls import ToolCallPieces
from edge_llm.cloud.types import CloudEvent, CloudReasoning, CloudText, CloudUsage
from edge_llm.errors import CloudContentFilterError, CloudError, CloudResponseError
from edge_llm.types import FinishReason, TokenLogprob

DONE = b"[DONE]"

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}
_FILTERED = frozenset({"content_filter", "safety"})


class ChunkReader:
    """Reads one answer; remembers how it ended, who wrote it and what it used."""

    def __init__(self, endpoint: str, *, is_ours: bool = False) -> None:
        self._endpoint = endpoint
        self._is_ours = is_ours
        self._calls = ToolCallPieces(self._bad)
        self.finish_reason: FinishReason | None = None
        """Why the answer ended; None while it has not."""
        self.done = False
        """Whether the endpoint said that nothing more will come."""
        self.model: str | None = None
        self.usage: CloudUsage | None = None
        """As reported; None until it is."""
        self.cost_usd: float | None = None
        """As reported (OpenRouter)."""
        self.record: Mapping[str, Any] | None = None
        """The `edge_llm` object, where one of our own servers answers."""

    def read(self, data: bytes) -> list[CloudEvent]:
        """Events of one piece of data.

        Raises:
            CloudError: it is no part of an answer, or says that there will be none.
        """
        if self.done:
            return []
        if data.strip() == DONE:
            self.done = True
            return []
        chunk = self._parse(data)
        if chunk.get("error"):
            raise self._told(chunk)
        self._note(chunk)
        return [event for choice in self._choices(chunk) for event in self._choice(choice)]

    def read_whole(self, data: bytes) -> list[CloudEvent]:
        """Events of an answer that came in one piece, from a server that does not stream."""
        events = self.read(data)
        self.done = True
        return events

    def _told(self, chunk: Mapping[str, Any]) -> CloudError:
        error = stream_error(self._endpoint, chunk["error"])
        error.own_words = own_words(chunk) if self._is_ours else None
        return error

    def _parse(self, data: bytes) -> dict[str, Any]:
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            chunk = None
        if isinstance(chunk, dict):
            return chunk
        raise self._bad("sent something that is no JSON object")

    def _note(self, chunk: Mapping[str, Any]) -> None:
        if isinstance(chunk.get("model"), str) and chunk["model"]:
            self.model = chunk["model"][:200]
        if isinstance(chunk.get("edge_llm"), dict):
            self.record = chunk["edge_llm"]
        usage = chunk.get("usage")
        if isinstance(usage, Mapping):
            self.usage = _usage(usage) or self.usage
            cost = usage.get("cost")
            if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < 1e6:
                self.cost_usd = float(cost)

    def _choices(self, chunk: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        choices = chunk.get("choices")
        if choices is None:
            return []
        if not isinstance(choices, list) or not all(isinstance(c, Mapping) for c in choices):
            raise self._bad("sent choices that are none")
        return [c for c in choices if c.get("index", 0) in (0, None)]

    def _choice(self, choice: Mapping[str, Any]) -> Iterator[CloudEvent]:
        delta = choice.get("delta")
        delta = choice.get("message") if delta is None else delta
        if delta is not None and not isinstance(delta, Mapping):
            raise self._bad("sent a delta that is none")
        events = [] if delta is None else list(self._delta(delta, choice.get("logprobs")))
        if events and self.finish_reason is not None:
            raise self._bad("went on after it had ended")
        yield from events
        if (reason := choice.get("finish_reason")) is not None:
            self._finish(reason)

    def _delta(self, delta: Mapping[str, Any], logprobs: object) -> Iterator[CloudEvent]:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str) and reasoning:
            yield CloudReasoning(reasoning)
        text = self._text(delta.get("content")) + self._text(delta.get("refusal"))
        if text:
            yield CloudText(text, _logprobs(logprobs))
        yield from self._calls.add(delta.get("tool_calls"))

    def _text(self, content: object) -> str:
        if content is None:
            return ""
        if isinstance(content, str):
            return content
        if isinstance(content, list):  # Mistral's parts
            parts = [p.get("text") for p in content if isinstance(p, Mapping)]
            return "".join(part for part in parts if isinstance(part, str))
        raise self._bad("sent content that is no text")

    def _finish(self, reason: object) -> None:
        name = reason.lower() if isinstance(reason, str) else ""
        if name in _FILTERED:
            raise CloudContentFilterError(
                f"{self._endpoint!r} stopped its answer by its content filter",
                endpoint=self._endpoint,
            )
        known = _FINISH.get(name)
        if known is None:
            raise self._bad("ended for a reason that is none")
        self._calls.check_complete()
        if self._calls and known == "stop":
            known = "tool_calls"
        self.finish_reason = self.finish_reason or known

    def _bad(self, what: str) -> CloudResponseError:
        return CloudResponseError(f"{self._endpoint!r} {what}", endpoint=self._endpoint)


def _usage(usage: Mapping[str, Any]) -> CloudUsage | None:
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(prompt) or not _is_count(completion):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return CloudUsage(prompt, completion, cached if _is_count(cached) else 0)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _logprobs(logprobs: object) -> tuple[TokenLogprob, ...]:
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list):
        return ()
    return tuple(one for entry in content if (one := _logprob(entry)) is not None)


def _logprob(entry: object) -> TokenLogprob | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("token"), str):
        return None
    value, raw = entry.get("logprob"), entry.get("bytes")
    if not isinstance(value, int | float | None):
        return None
    token = entry["token"]
    as_bytes = token.encode("utf-8", "replace")
    if isinstance(raw, list) and all(isinstance(b, int) and 0 <= b < 256 for b in raw):
        as_bytes = bytes(raw)
    top = entry.get("top_logprobs")
    return TokenLogprob(
        token,
        as_bytes,
        None if value is None else float(value),
        tuple(one for t in top if (one := _logprob(t)) is not None)
        if isinstance(top, list)
        else (),
    )
