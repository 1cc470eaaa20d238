"""How an utterance is put to the runtime: with which messages, which tools, and how often."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from edge_llm.config.edge import BUILTIN_MODEL
from edge_llm.errors import EdgeLLMError, RuntimeClosedError
from edge_llm.integrations.wyoming.conversations import Turn, as_messages
from edge_llm.integrations.wyoming.intents import offered_tools
from edge_llm.integrations.wyoming.settings import IntentSource, VoiceSettings
from edge_llm.integrations.wyoming.utterance import Utterance
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.chat_request import has_tiers
from edge_llm.types import Answer, Chunk


class Asker:
    """Asks one runtime."""

    def __init__(self, llm: AsyncEdgeLLM, settings: VoiceSettings) -> None:
        self._llm = llm
        self._settings = settings
        self._tools = offered_tools()

    @property
    def source(self) -> IntentSource:
        """Where intents come from, `auto` resolved; the runtime must be open."""
        if self._settings.intents != "auto":
            return self._settings.intents
        if is_builtin(self._llm):
            return "own"
        return "offered" if _takes_tools(self._llm) else "none"

    async def stream(self, heard: Utterance, turns: Sequence[Turn]) -> AsyncGenerator[Chunk]:
        """The answer in pieces, the last with the record; leaving early stops every tier.

        A model with calls of its own is asked first, alone and without tools, which would only
        confuse it; where it is unsure, all tiers are asked, the intents offered.

        Raises:
            EdgeLLMError: as `AsyncEdgeLLM.stream`.
        """
        deadline_s = time.monotonic() + self._limit_s
        source = self.source
        if source == "own":
            chunks = await self._ask_own(heard, turns, deadline_s)
            if chunks is not None:
                for chunk in chunks:
                    yield chunk
                return
        tools = None if source == "none" else self._tools
        options = self._options(heard, deadline_s, tools=tools)
        messages = self._messages(heard, turns, with_results=True)
        async with contextlib.aclosing(self._llm.stream(messages, **options)) as stream:
            async for chunk in stream:
                yield chunk

    async def _ask_own(
        self, heard: Utterance, turns: Sequence[Turn], deadline_s: float
    ) -> list[Chunk] | None:
        """The answer of the model that knows intents; None where others should be asked.

        Held whole, because it may have to be taken back: it is a sentence.
        """
        can_ask_others = has_tiers(self._llm.config) and not self._stays_here
        options = self._options(heard, deadline_s, hold="full")
        if can_ask_others:
            options["privacy"] = "local_only"
        messages = self._messages(heard, turns, with_results=False)
        chunks: list[Chunk] = []
        try:
            async with contextlib.aclosing(self._llm.stream(messages, **options)) as stream:
                async for chunk in stream:
                    chunks.append(chunk)
        except RuntimeClosedError:
            raise
        except EdgeLLMError:
            if not can_ask_others:
                raise
            return None
        answer = chunks[-1].answer if chunks else None
        if can_ask_others and (answer is None or is_unsure(answer)):
            return None
        return chunks

    @property
    def _stays_here(self) -> bool:
        """Whether nothing may leave anyway, so that asking twice would ask the same."""
        labels = (self._settings.request_options.get("privacy"), self._llm.config.privacy.label)
        return any(str(label) == "local_only" for label in labels)

    @property
    def _limit_s(self) -> float:
        given = self._settings.request_options.get("deadline_s")
        configured = self._llm.config.escalation.deadline_s
        return float(given or configured or self._settings.deadline_s)

    def _options(
        self,
        heard: Utterance,
        deadline_s: float,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        hold: str | None = None,
    ) -> dict[str, Any]:
        left_s = max(0.001, deadline_s - time.monotonic())
        options = {**self._settings.request_options, "deadline_s": left_s}
        system = options.get("system") or self._llm.config.system_prompt
        if heard.area is not None:
            where = f"The person who speaks is in the area: {heard.area}"
            system = where if system is None else f"{system}\n{where}"
        found = {"system": system, "tools": tools, "hold": hold or options.get("hold")}
        return options | {name: value for name, value in found.items() if value is not None}

    def _messages(
        self, heard: Utterance, turns: Sequence[Turn], *, with_results: bool
    ) -> list[dict[str, Any]]:
        before = as_messages(turns, with_results=with_results)
        return [*before, {"role": "user", "content": heard.text}]


def is_builtin(llm: AsyncEdgeLLM) -> bool:
    """Whether the first local model is the one that ships; the runtime must be open."""
    try:
        return llm.facts.name.partition(":")[0] == BUILTIN_MODEL
    except RuntimeClosedError:  # every tier is somewhere else
        return False


def _takes_tools(llm: AsyncEdgeLLM) -> bool:
    try:
        return llm.facts.supports_tools
    except RuntimeClosedError:  # endpoints do, unless their configuration says otherwise
        return True


def is_unsure(answer: Answer) -> bool:
    """Whether a model said that someone else should answer, and nobody did."""
    if answer.route != "local":
        return False
    if answer.reason == "unsure":
        return True
    score, threshold = answer.score, answer.threshold
    said = answer.signal == "unsure_token"
    return said and score is not None and threshold is not None and score < threshold
