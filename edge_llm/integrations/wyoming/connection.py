"""One client: its events are read while its answers are written, so that its leaving is noticed."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import Any, Literal

from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe
from wyoming.ping import Ping, Pong

from edge_llm.errors import EdgeLLMError, InvalidParameterError, RequestError
from edge_llm.integrations.wyoming.agent import Agent
from edge_llm.integrations.wyoming.info import describe
from edge_llm.integrations.wyoming.utterance import is_utterance, read_utterance
from edge_llm.integrations.wyoming.wire import (
    ClientGoneError,
    MalformedEventError,
    Sink,
    read_event,
    write_event,
)

logger = logging.getLogger(__name__)


class TooManyEventsError(RequestError):
    """A client does not wait for its answers."""

    code = "too_many_events"
    status_code = 429


class ClosingError(EdgeLLMError):
    """The door is being closed."""

    code = "shutting_down"
    status_code = 503


class Connection:
    """Serves one client until it leaves, is refused or the door closes."""

    def __init__(
        self,
        agent: Agent,
        reader: asyncio.StreamReader,
        sink: Sink,
        *,
        ends_with_input: bool = True,
    ) -> None:
        """`ends_with_input`: who says no more wants no more answers; false for a pipe."""
        self._agent = agent
        self._reader = reader
        self._sink = sink
        self._ends_with_input = ends_with_input
        self._id = uuid.uuid4().hex
        self._waiting: asyncio.Queue[Event | None] = asyncio.Queue(agent.settings.max_waiting)
        self._closing = asyncio.Event()
        self._is_answering = False

    async def run(self) -> None:
        """Serve the client. Raises nothing that it could be the reason for."""
        reading = asyncio.ensure_future(self._read())
        answering = asyncio.ensure_future(self._answer())
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({reading, answering, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not closing.done() and reading.done() and not reading.exception():
                await self._after_input(answering, closing)
            if closing.done():
                await self._finish_work(answering)
        finally:
            for task in (reading, answering, closing):
                task.cancel()
            done = await asyncio.gather(reading, answering, return_exceptions=True)
        await self._tell_why(done)

    def close(self) -> None:
        """Take no more events; an answer under way has the grace that the settings give."""
        self._closing.set()

    # Reading

    async def _read(self) -> None:
        while True:
            try:
                event = await read_event(self._reader, self._agent.settings)
            except TimeoutError:
                if self._is_answering:
                    continue  # a client that listens is not idle
                return
            if event is None:
                return
            if self._ends_with_input and self._waiting.full():
                raise TooManyEventsError(
                    "too many events before their answers", hint="wait for each answer"
                )
            await self._waiting.put(event)

    async def _after_input(
        self, answering: asyncio.Future[None], closing: asyncio.Task[Literal[True]]
    ) -> None:
        """The client says no more: stop what it does not wait for, complete what it does."""
        if self._ends_with_input:
            return
        await self._waiting.put(None)
        until: set[asyncio.Future[Any]] = {answering, closing}
        await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)

    # Answering

    async def _answer(self) -> None:
        while (event := await self._waiting.get()) is not None:
            if self._closing.is_set():
                raise ClosingError("the server is shutting down")
            self._is_answering = True
            try:
                await self._answer_one(event)
            finally:
                self._is_answering = False

    async def _answer_one(self, event: Event) -> None:
        if is_utterance(event):
            try:
                heard = read_utterance(event, self._agent.settings, self._id)
            except InvalidParameterError as error:
                await self._send(Error(error.message, error.code).event())
                return
            await self._agent.answer(heard, self._send)
        elif Describe.is_type(event.type):
            await self._send(describe(self._agent).event())
        elif Ping.is_type(event.type):
            text = event.data.get("text")
            await self._send(Pong(text if isinstance(text, str) else None).event())
        else:
            logger.debug("an event that means nothing here was ignored")

    async def _send(self, event: Event) -> None:
        await write_event(event, self._sink, self._agent.settings)

    # Ending

    async def _finish_work(self, answering: asyncio.Future[None]) -> None:
        if not self._is_answering:
            return
        if self._waiting.empty():
            self._waiting.put_nowait(None)  # else what waits is refused after this answer
        await asyncio.wait({answering}, timeout=self._agent.settings.grace_s)
        if not answering.done():
            await self._tell(ClosingError("the server is shutting down"))

    async def _tell_why(self, ended: Sequence[BaseException | None]) -> None:
        """Log why a connection ended, and tell a client that may not know."""
        for reason in ended:
            if isinstance(reason, MalformedEventError | TooManyEventsError):
                logger.warning("a client was refused: %s", reason.message)
                await self._tell(reason)
            elif isinstance(reason, ClosingError):
                await self._tell(reason)
            elif isinstance(reason, ClientGoneError):
                logger.info("a client left before its answer was complete")
            elif isinstance(reason, Exception):
                logger.error("a connection failed", exc_info=reason)

    async def _tell(self, error: EdgeLLMError) -> None:
        try:
            await self._send(Error(error.message, error.code).event())
        except ClientGoneError:
            logger.debug("a client did not hear why it was refused")
