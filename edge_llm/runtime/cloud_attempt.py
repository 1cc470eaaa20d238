"""A tier of endpoints at work on one answer: reserved, redacted, asked, restored and settled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from edge_llm.cloud.budget import Reservation
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.failover import CloudTier
from edge_llm.cloud.types import (
    CloudAttempt,
    CloudEvent,
    CloudFinish,
    CloudReasoning,
    CloudRequest,
    CloudText,
    CloudToolCall,
)
from edge_llm.errors import CloudError, CloudResponseError, EdgeLLMError
from edge_llm.privacy import Redactions, Restorer, restore_json
from edge_llm.prompt.parse import ReasoningDelta, TextDelta
from edge_llm.runtime.attempt import TierAttempt
from edge_llm.runtime.outlet import Draft
from edge_llm.runtime.transcript import Piece, Said
from edge_llm.types import Attempt, ToolCall, Usage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request on its way to a tier."""

    request: CloudRequest
    redactions: Redactions | None = None
    """What its placeholders stand for; None where nothing was replaced."""
    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Replaced places by kind."""
    reservation: Reservation | None = None
    """Room in the budget; None where there is no limit."""


class CloudTierAttempt(TierAttempt):
    """One tier of endpoints at work. A task of its own reads, so that nobody waits for the net."""

    route = "cloud"

    def __init__(
        self,
        tier: str,
        cloud: CloudTier,
        prepare: Callable[[], Outgoing],
        deadline: Deadline,
        draft: Draft | None = None,
    ) -> None:
        """`prepare` may block and runs in a thread; what it raises is the attempt's error."""
        super().__init__(tier, cloud.clients[0].endpoint.model, draft)
        self._cloud = cloud
        self._prepare = prepare
        self._deadline = deadline
        self._events: asyncio.Queue[CloudEvent | EdgeLLMError] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._attempts: list[CloudAttempt] = []
        self._finish: CloudFinish | None = None
        self._restorers: dict[str, Restorer] = {}
        self._calls: dict[int, CloudToolCall] = {}
        self.outgoing: Outgoing | None = None

    @property
    def usage(self) -> Usage:
        """Tokens of all endpoints that were asked."""
        known = [attempt.usage for attempt in self._attempts]
        return Usage(
            sum(usage.prompt_tokens for usage in known),
            sum(usage.completion_tokens for usage in known),
            sum(usage.cached_tokens for usage in known),
        )

    @property
    def cost_usd(self) -> float:
        """US dollars so far, as far as they are known."""
        return sum(attempt.cost_usd or 0.0 for attempt in self._attempts)

    def start(self) -> None:
        """Begin at once, before anybody asks for the first piece."""
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._read())

    async def _next(self) -> Piece:
        self.start()
        event = await self._events.get()
        if isinstance(event, EdgeLLMError):
            raise event
        return self._piece(event)

    async def _read(self) -> None:
        try:
            self.outgoing = outgoing = await self._prepared()
            try:
                stream = self._cloud.stream(
                    outgoing.request, self._deadline, on_attempt=self._attempts.append
                )
                async with contextlib.aclosing(stream) as events:
                    async for event in events:
                        self._events.put_nowait(event)
                        if isinstance(event, CloudFinish):
                            return
                raise CloudResponseError("the answer ended without an end")
            finally:
                self._settle(outgoing)
        except EdgeLLMError as error:
            self._events.put_nowait(error)
        except Exception as error:
            logger.exception("the cloud tier %s failed", self.tier)
            self._events.put_nowait(CloudError(f"the tier failed: {type(error).__name__}"))

    async def _prepared(self) -> Outgoing:
        work = asyncio.ensure_future(asyncio.to_thread(self._prepare))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(_release_late)
            raise

    def _settle(self, outgoing: Outgoing) -> None:
        """Count what it cost; in a thread that nobody waits for, because it writes to disk."""
        reservation = outgoing.reservation
        if reservation is not None:
            sent = sum(attempt.sent_bytes for attempt in self._attempts)
            work = asyncio.get_running_loop().run_in_executor(
                None, reservation.settle, self.cost_usd, sent
            )
            work.add_done_callback(_log_failure)

    def _piece(self, event: CloudEvent) -> Piece:
        match event:
            case CloudText():
                said = self._restored("text", event.text)
                logprobs = event.logprobs or None
                return Piece(
                    (TextDelta(said),) if said else (),
                    num_tokens=1,
                    num_answer_tokens=1,
                    logprobs=logprobs,
                )
            case CloudReasoning():
                said = self._restored("reasoning", event.text)
                return Piece((ReasoningDelta(said),) if said else (), num_tokens=1)
            case CloudToolCall():
                self._collect_call(event)
                return Piece(num_tokens=1, num_answer_tokens=1)
            case CloudFinish():
                return self._end(event)

    def _restored(self, channel: str, text: str) -> str:
        redactions = self.outgoing.redactions if self.outgoing else None
        if redactions is None:
            return text
        if channel not in self._restorers:
            self._restorers[channel] = Restorer(redactions)
        return self._restorers[channel].feed(text)

    def _collect_call(self, event: CloudToolCall) -> None:
        known = self._calls.get(event.index)
        if known is not None:
            event = replace(known, arguments=known.arguments + event.arguments)
        self._calls[event.index] = event

    def _end(self, finish: CloudFinish) -> Piece:
        self._finish = finish
        self.model = finish.model
        rest: list[Said] = []
        for channel, kind in (("reasoning", ReasoningDelta), ("text", TextDelta)):
            restorer = self._restorers.get(channel)
            text = restorer.flush() if restorer is not None else ""
            if text:
                rest.append(kind(text))
        rest += [self._call(call) for _, call in sorted(self._calls.items())]
        return Piece(tuple(rest), finish_reason=finish.finish_reason)

    def _call(self, call: CloudToolCall) -> ToolCall:
        redactions = self.outgoing.redactions if self.outgoing else None
        try:
            text = call.arguments or "{}"
            arguments = json.loads(text if redactions is None else restore_json(text, redactions))
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            raise CloudResponseError(f"the arguments of a call to {call.name!r} are no JSON object")
        return ToolCall(call.id, call.name, arguments)

    def records(self, outcome: str) -> list[Attempt]:
        """A line for each endpoint that was asked, or one where none was."""
        if not self._attempts:
            return [self.record(outcome)]
        return [
            replace(
                self.record(outcome),
                tier=f"{self.tier}/{one.endpoint}" if one.endpoint != self.tier else self.tier,
                model=one.model,
                outcome=outcome if one.outcome == "ok" and self.error is None else one.outcome,
                prompt_tokens=one.usage.prompt_tokens,
                completion_tokens=one.usage.completion_tokens,
                latency_s=one.e2e_s,
                cost_usd=one.cost_usd,
            )
            for one in self._attempts
        ]

    @property
    def time_left_s(self) -> float:
        """Seconds until it must be done; infinity without a limit."""
        return self._deadline.remaining_s

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What reads the answer, until it has ended and what it cost is known."""
        return None if self._task is None or self._task.done() else self._task

    def end(self, error: EdgeLLMError) -> None:
        """End it with an error, from any thread."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # its event loop was closed: nobody waits
                loop.call_soon_threadsafe(self._fail_here, error)

    def _fail_here(self, error: EdgeLLMError) -> None:
        self._events.put_nowait(error)
        self.stop()

    def stop(self) -> None:
        """Cancel the request; `task` ends soon after, and then what it cost is known."""
        if self.task is not None:
            self.task.cancel()


def _release_late(work: asyncio.Future[Outgoing]) -> None:
    """Give back the room of a request whose caller left before it was sent."""
    if work.cancelled() or work.exception() is not None:
        return
    reservation = work.result().reservation
    if reservation is not None:
        released = work.get_loop().run_in_executor(None, reservation.release)
        released.add_done_callback(_log_failure)


def _log_failure(work: asyncio.Future[Any]) -> None:
    if not work.cancelled() and work.exception() is not None:
        logger.error("what a request cost could not be written: %s", work.exception())
