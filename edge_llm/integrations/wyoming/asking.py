"""How an utterance is put to the runtime: with which messages, which tools, and how often."""

from __future__ import annotations

import contextlib
import logging
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
from edge_llm.runtime.elsewhere import remote_part
from edge_llm.types import Answer, Chunk

logger = logging.getLogger(__name__)


class Asker:
    """Asks one runtime; `close` frees what it opened beside it."""

    def __init__(self, llm: AsyncEdgeLLM, settings: VoiceSettings) -> None:
        self._llm = llm
        self._settings = settings
        self._tools = offered_tools()
        self._remote = remote_part(llm) if has_tiers(llm.config) else None
        """Who is asked, with the intents as tools, for what a model with its own is unsure of."""

    async def close(self) -> None:
        """Close connections to endpoints; the runtime itself stays open."""
        if self._remote is not None:
            await self._remote.close()

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
        confuse it; for what it is unsure of the endpoints are asked, the intents offered.

        Raises:
            EdgeLLMError: as `AsyncEdgeLLM.stream`.
        """
        deadline_s = time.monotonic() + self._limit_s
        source = self.source
        if source == "own":
            stream = self._ask_own(heard, turns, deadline_s)
        else:
            tools = self._tools if source == "offered" else None
            stream = self._ask(self._llm, heard, turns, deadline_s, tools)
        async with contextlib.aclosing(stream) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _ask(
        self,
        llm: AsyncEdgeLLM,
        heard: Utterance,
        turns: Sequence[Turn],
        deadline_s: float,
        tools: Sequence[Mapping[str, Any]] | None,
    ) -> AsyncGenerator[Chunk]:
        options = self._options(heard, deadline_s)
        if tools is not None:
            options["tools"] = tools
        messages = _messages(heard, turns, with_results=True)
        async with contextlib.aclosing(llm.stream(messages, **options)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _ask_own(
        self, heard: Utterance, turns: Sequence[Turn], deadline_s: float
    ) -> AsyncGenerator[Chunk]:
        """The local answer, held whole because it may be replaced: it is a sentence."""
        own: list[Chunk] | EdgeLLMError = await self._local_answer(heard, turns, deadline_s)
        if self._remote is not None and not _is_good(own):
            has_begun = False
            stream = self._ask(self._remote, heard, turns, deadline_s, self._tools)
            try:
                async with contextlib.aclosing(stream) as chunks:
                    async for chunk in chunks:
                        has_begun = True
                        yield chunk
                return
            except EdgeLLMError as error:
                if has_begun or isinstance(own, EdgeLLMError):
                    raise
                logger.info("nobody elsewhere could answer: %s", error.code)
        if isinstance(own, EdgeLLMError):
            raise own
        for chunk in own:
            yield chunk

    async def _local_answer(
        self, heard: Utterance, turns: Sequence[Turn], deadline_s: float
    ) -> list[Chunk] | EdgeLLMError:
        options = {**self._options(heard, deadline_s), "hold": "full", "privacy": "local_only"}
        messages = _messages(heard, turns, with_results=False)
        try:
            async with contextlib.aclosing(self._llm.stream(messages, **options)) as chunks:
                return [chunk async for chunk in chunks]
        except RuntimeClosedError:
            raise
        except EdgeLLMError as error:
            return error

    @property
    def _limit_s(self) -> float:
        given = self._settings.request_options.get("deadline_s")
        configured = self._llm.config.escalation.deadline_s
        return float(given or configured or self._settings.deadline_s)

    def _options(self, heard: Utterance, deadline_s: float) -> dict[str, Any]:
        left_s = max(0.001, deadline_s - time.monotonic())
        options = {**self._settings.request_options, "deadline_s": left_s}
        if heard.area is not None:
            system = options.get("system") or self._llm.config.system_prompt
            where = f"The person who speaks is in the area: {heard.area}"
            options["system"] = where if system is None else f"{system}\n{where}"
        return options


def _messages(
    heard: Utterance, turns: Sequence[Turn], *, with_results: bool
) -> list[dict[str, Any]]:
    before = as_messages(turns, with_results=with_results)
    return [*before, {"role": "user", "content": heard.text}]


def _is_good(own: list[Chunk] | EdgeLLMError) -> bool:
    """Whether the local answer stands; that of a server in the house, without intents, does not."""
    if isinstance(own, EdgeLLMError) or not own or own[-1].answer is None:
        return False
    answer = own[-1].answer
    return answer.route == "local" and not is_unsure(answer)


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
