"""Answers utterances: what the connections of all clients share."""

from __future__ import annotations

import contextlib
import logging

from edge_llm.errors import EdgeLLMError, RequestError
from edge_llm.integrations.wyoming.asking import Asker, is_unsure
from edge_llm.integrations.wyoming.conversations import Conversations, Turn
from edge_llm.integrations.wyoming.reply import Reply, Send
from edge_llm.integrations.wyoming.settings import VoiceSettings
from edge_llm.integrations.wyoming.utterance import Utterance
from edge_llm.integrations.wyoming.wire import ClientGoneError
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.types import Answer


class NothingHeardError(RequestError):
    """There is nothing to answer."""

    code = "nothing_heard"


class SilentModelError(EdgeLLMError):
    """Nothing came back."""

    code = "no_answer"


class InternalError(EdgeLLMError):
    """Something that nobody foresaw; the log tells more."""

    code = "internal_error"


logger = logging.getLogger(__name__)


class Agent:
    """One runtime and the conversations that are held with it. Belongs to one event loop."""

    def __init__(self, llm: AsyncEdgeLLM, settings: VoiceSettings) -> None:
        self.llm = llm
        self.settings = settings
        self.asker = Asker(llm, settings)
        self.conversations = Conversations(settings)

    async def answer(self, heard: Utterance, send: Send) -> None:
        """Tell the answer to what was heard, or that there is none; cancelling it stops the model.

        Raises:
            ClientGoneError: there is nobody to tell.
        """
        reply = Reply(heard, send, allows_calls=self.asker.source != "none")
        try:
            answer = await self._answer(heard, reply)
            was_answered = await reply.finish(answer, is_unsure=is_unsure(answer))
        except ClientGoneError:
            raise
        except EdgeLLMError as error:
            logger.info("no answer: %s", error.code)
            await reply.fail(error)
            return
        except Exception:  # the root of this door: nothing else would answer
            logger.exception("an utterance could not be answered")
            await reply.fail(InternalError("the server failed"))
            return
        if was_answered:
            # An unanswered question would only confuse the next one.
            turn = Turn(heard.text, answer.text, answer.tool_calls)
            self.conversations.add(heard.conversation_id, turn)

    async def _answer(self, heard: Utterance, reply: Reply) -> Answer:
        if not heard.text:
            raise NothingHeardError("the text is empty")
        answer: Answer | None = None
        turns = self.conversations.turns(heard.conversation_id)
        async with contextlib.aclosing(self.asker.stream(heard, turns)) as chunks:
            async for chunk in chunks:
                await reply.add(chunk)
                answer = chunk.answer or answer
        if answer is None:
            raise SilentModelError("the stream ended without an answer")
        return answer
