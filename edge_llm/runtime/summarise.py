"""Making room by having the local model sum up the oldest turns: before anything leaves the device.

System messages, turns with code, JSON or tool calls and the last turn stay as they are. The summary
stands as an exchange of its own, in the assistant's voice: it was the model that said it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edge_llm.engine.request import EngineRequest
from edge_llm.errors import ContextLengthExceededError
from edge_llm.prompt.encode import EncodedPrompt
from edge_llm.runtime.chat_request import text_of
from edge_llm.runtime.conversation import Turns, split_turns
from edge_llm.runtime.local import LocalModel
from edge_llm.runtime.passages import is_code_or_json
from edge_llm.types import Message, SamplingParams

SUMMARY_TOKENS = 160
"""A few sentences."""

_INSTRUCTIONS = """\
Sum up the conversation that follows in at most five sentences. Keep names, numbers, dates, places \
and what was decided. Write nothing else."""

_QUESTION = "What have we talked about so far?"


async def summarise_oldest(
    model: LocalModel, messages: Sequence[Message], room_tokens: int
) -> list[Message] | None:
    """The conversation with as many of its oldest turns summed up as makes it `room_tokens` long.

    None where nothing may be summed up, or not enough.

    Raises:
        EdgeLLMError: the model failed.
    """
    turns = split_turns(messages)
    plain = [turn for turn in turns.later[:-1] if _is_plain(turn)]
    for count in range(1, len(plain) + 1):
        chosen = plain[:count]
        if await _fits(model, _rebuilt(turns, chosen, ""), room_tokens - SUMMARY_TOKENS):
            summary = await _summary(model, chosen)
            return None if summary is None else _rebuilt(turns, chosen, summary)
    return None


def _is_plain(turn: Sequence[Message]) -> bool:
    texts = [text_of(message) for message in turn]
    has_tools = any(m.get("tool_calls") or m.get("role") == "tool" for m in turn)
    return not has_tools and not any(is_code_or_json(text) for text in texts)


def _rebuilt(turns: Turns, gone: Sequence[list[Message]], summary: str) -> list[Message]:
    left = [turn for turn in turns.later if not any(turn is one for one in gone)]
    exchange = [
        {"role": "user", "content": _QUESTION},
        {"role": "assistant", "content": summary},
    ]
    return [*turns.system, *exchange, *(message for turn in left for message in turn)]


async def _fits(model: LocalModel, messages: Sequence[Message], room_tokens: int) -> bool:
    prompt: EncodedPrompt = await asyncio.to_thread(model.encode, messages, None)
    return len(prompt.token_ids) <= room_tokens


async def _summary(model: LocalModel, turns: Sequence[list[Message]]) -> str | None:
    """The turns in a few sentences, summed up bit by bit; None where one is too long for that."""
    summary = ""
    for turn in turns:
        said = "\n".join(f"{message['role']}: {text_of(message)}" for message in turn)
        text = f"{summary}\n{said}" if summary else said
        try:
            summary = await _generate(model, text)
        except ContextLengthExceededError:
            return None
    return summary.strip() or None


async def _generate(model: LocalModel, text: str) -> str:
    messages = [{"role": "system", "content": _INSTRUCTIONS}, {"role": "user", "content": text}]
    prompt = await asyncio.to_thread(model.encode, messages, None)
    params = SamplingParams(temperature=0.0, max_tokens=SUMMARY_TOKENS)
    run = await model.start(EngineRequest(tuple(prompt.token_ids), params))
    pieces: list[str] = []
    try:
        while True:
            event = await run.next()
            pieces.append(event.text)
            if event.is_last:
                return "".join(pieces)
    finally:
        run.abort()
