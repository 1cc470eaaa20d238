"""What tokens cost, and how many there were when nobody counted. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from edge_llm.cloud.types import CloudRequest, CloudUsage, Prices

BYTES_PER_TOKEN = 3
"""Of UTF-8 text, on the safe side: English has four, and other scripts' letters are longer."""

TOKENS_PER_MESSAGE = 8
"""Role and separators of one message, on the safe side."""

TOKENS_PER_IMAGE = 1500
"""About a large image in high detail at OpenAI's tile prices."""


def cost_usd(prices: Prices | None, usage: CloudUsage) -> float | None:
    """US dollars of one attempt; None without prices."""
    if prices is None:
        return None
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cached_usd = prices.input_usd if prices.cached_input_usd is None else prices.cached_input_usd
    return (
        (usage.prompt_tokens - cached) * prices.input_usd
        + cached * cached_usd
        + usage.completion_tokens * prices.output_usd
    ) / 1e6


def worst_case_usd(prices: Prices | None, prompt_tokens: int, max_tokens: int) -> float | None:
    """The most that one attempt can cost, for a reservation; None without prices."""
    return cost_usd(prices, CloudUsage(prompt_tokens, max_tokens))


def estimate_tokens(text: str) -> int:
    """Tokens of a text whose tokenizer is not here, rather too many than too few."""
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)


def estimate_prompt_tokens(request: CloudRequest) -> int:
    """Tokens of a request: its own count where it has one, else an estimate."""
    if request.prompt_tokens is not None:
        return request.prompt_tokens
    total = sum(TOKENS_PER_MESSAGE + _message_tokens(message) for message in request.messages)
    for part in (request.tools, request.response_format):
        if part is not None:
            total += estimate_tokens(json.dumps(part, ensure_ascii=False, default=str))
    return total


def _message_tokens(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    calls = message.get("tool_calls")
    total = 0 if calls is None else estimate_tokens(json.dumps(calls, default=str))
    if isinstance(content, str):
        return total + estimate_tokens(content)
    return total + sum(_part_tokens(part) for part in content or ())


def _part_tokens(part: Mapping[str, Any]) -> int:
    text = part.get("text")
    return estimate_tokens(text) if isinstance(text, str) else TOKENS_PER_IMAGE
