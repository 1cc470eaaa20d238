"""One answer as events, in the order in which clients expect them.

Text goes out sentence by sentence, `handled-start`, `handled-chunk`…, and then once more whole in
`handled`, which is all that Home Assistant reads; commands go out as `intent` events, which it
executes. Source: wyoming 1.10.2 `handle.py`, `intent.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from wyoming.error import Error
from wyoming.event import Event
from wyoming.handle import Handled, HandledChunk, HandledStart, HandledStop, NotHandled
from wyoming.intent import Entity, Intent, IntentsStart, IntentsStop, NotRecognized

from edge_llm.errors import EdgeLLMError
from edge_llm.integrations.wyoming.intents import entities, find_fault
from edge_llm.integrations.wyoming.sentences import SpokenSentences
from edge_llm.integrations.wyoming.speech import finding, plain
from edge_llm.integrations.wyoming.utterance import Utterance
from edge_llm.types import Answer, Chunk, ToolCall

logger = logging.getLogger(__name__)

Send = Callable[[Event], Awaitable[None]]

_SAID_OF_RECORD = ("route", "tier", "reason", "model", "confidence", "score", "signal")
_COUNTED = ("threshold", "cost_usd", "degraded", "trace_id")

NO_ANSWER = "I have no answer to that."
NOT_DONE = "I cannot do that."

_SPOKEN_ERRORS = {
    "nothing_heard": "I did not hear anything.",
    "no_answer": NO_ANSWER,
    "deadline_exceeded": "That took too long.",
    "context_length_exceeded": "That was too much at once.",
    "budget_exceeded": "My budget for questions like this is used up.",
    "offline": "I cannot reach anybody who knows that.",
    "no_route": "I cannot answer that here.",
    "privacy": "I cannot answer that here.",
}


class Reply:
    """Tells one client one answer; each utterance ends in exactly one of its three endings."""

    def __init__(self, heard: Utterance, send: Send, *, allows_calls: bool = True) -> None:
        """`allows_calls`: whether commands may go out; if not, they are refused."""
        self._heard = heard
        self._allows_calls = allows_calls
        self._send = send
        self._sentences = SpokenSentences()
        self._has_begun = False
        self._has_call = False

    async def add(self, chunk: Chunk) -> None:
        """Pass on what can be said by now."""
        self._has_call = self._has_call or chunk.tool_call is not None
        if chunk.text and not self._has_call and not self._heard.wants_intent:
            await self._say(self._sentences.add(chunk.text))

    async def finish(self, answer: Answer, *, is_unsure: bool) -> bool:
        """Tell the rest; whether the request was answered.

        `is_unsure`: the text only says that nobody here knows.
        """
        context = self._context(_record(answer))
        text = answer.text.strip()
        if answer.tool_calls and not is_unsure:
            return await self._finish_calls(answer, context)
        if is_unsure and not self._has_begun:
            return await self._refuse(text or NO_ANSWER, context)
        if self._heard.wants_intent or not text:
            return await self._refuse(text or NO_ANSWER, context)
        await self._finish_text(context)
        return True

    async def fail(self, error: EdgeLLMError) -> None:
        """Say that there is no answer, or no end of one."""
        text = _SPOKEN_ERRORS.get(error.code, "I cannot answer that right now.")
        if self._has_begun:
            # Half of an answer was heard: this is how a client learns that no more will come.
            await self._send(Error(text, error.code).event())
            return
        await self._refuse(text, self._context({"code": error.code}))

    # Endings

    async def _finish_text(self, context: dict[str, Any]) -> None:
        await self._say(self._sentences.finish())
        await self._send(Handled(self._sentences.text, context).event())
        await self._send(HandledStop().event())

    async def _finish_calls(self, answer: Answer, context: dict[str, Any]) -> bool:
        fault = find_fault(answer.tool_calls) if self._allows_calls else "intents are off"
        if fault is not None:
            logger.warning("the model made a call that cannot be executed: %s", fault)
            return await self._refuse(NOT_DONE, context)
        if self._has_begun:
            await self._say(self._sentences.finish())
            await self._send(HandledStop().event())
        intents = _intents(answer, self._heard, context)
        if len(intents) == 1:
            await self._send(intents[0].event())
            return True
        await self._send(IntentsStart(context).event())
        for intent in intents:
            await self._send(intent.event())
        await self._send(IntentsStop(context).event())
        return True

    async def _refuse(self, text: str, context: dict[str, Any]) -> bool:
        if self._has_begun:
            await self._send(HandledStop().event())
        kind = NotRecognized if self._heard.wants_intent else NotHandled
        await self._send(kind(text, context).event())
        return False

    async def _say(self, sentences: list[str]) -> None:
        for sentence in sentences:
            if not self._has_begun:
                self._has_begun = True
                await self._send(HandledStart(self._context()).event())
            await self._send(HandledChunk(sentence).event())

    def _context(self, record: dict[str, Any] | None = None) -> dict[str, Any]:
        context: dict[str, Any] = {"conversation_id": self._heard.conversation_id}
        return context if record is None else {**context, "edge_llm": record}


def _record(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in (*_SAID_OF_RECORD, *_COUNTED)}


def _intents(answer: Answer, heard: Utterance, context: dict[str, Any]) -> list[Intent]:
    """Questions are answered by what Home Assistant finds, commands by the words of the model.

    The words are said once, with the first command: they speak of all of them.
    """
    words: str | None = plain(answer.text).strip() or None
    intents = []
    for call in answer.tool_calls:
        text = finding(call, heard.text)
        if text is None:
            text, words = words, None
        intents.append(_intent(call, text, context))
    return intents


def _intent(call: ToolCall, text: str | None, context: dict[str, Any]) -> Intent:
    slots = [Entity(slot, value) for slot, value in entities(call).items()]
    return Intent(call.name, slots, text, context)
