"""The runtime: every way to ask goes through `AsyncEdgeLLM.stream`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from edge_llm.config import EdgeConfig, LoadOptions, load_config, state_folder
from edge_llm.engine.host import ModelFacts
from edge_llm.errors import EdgeLLMError, RuntimeClosedError, RuntimeForkedError
from edge_llm.runtime.afterwards import Afterwards
from edge_llm.runtime.build import check_tiers, open_tiers
from edge_llm.runtime.chat_request import parse_request
from edge_llm.runtime.deferred import QUEUE_FILE, DeferredQueue, open_deferred_queue
from edge_llm.runtime.deferring import answer_waiting, can_wait, store, take
from edge_llm.runtime.flow import Flow
from edge_llm.runtime.local import LocalModel, load_local_model
from edge_llm.runtime.starting import in_time
from edge_llm.runtime.structured.value import with_type, with_value, without_type
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tools.run import run_loop
from edge_llm.runtime.tools.types import RunEvent, RunOptions, RunResult, ToolLike
from edge_llm.types import Answer, Chunk, Message, RequestOptions

T = TypeVar("T")

CLOSING_S = 2.0
"""How long the closing of connections is waited for; they end with the process anyway."""


class AsyncEdgeLLM:
    """A loaded model to talk to from asynchronous code; `async with` loads and frees it.

    May be shared by any number of tasks, also of different event loops.
    """

    _opened: TierSet | None = None
    """What was open, also after the end: connections are closed last."""
    _afterwards: Afterwards | None = None
    """What is done behind answers; None for a runtime whose answers are another's."""

    def __init__(
        self, model: str | os.PathLike[str] | None = None, **options: Unpack[LoadOptions]
    ) -> None:
        """Check the options; nothing is loaded before `open`.

        Raises:
            ConfigError: an unknown option, or a value outside its range.
        """
        self.config: EdgeConfig = load_config(
            {"model": None if model is None else os.fspath(model), **options}
        )
        check_tiers(self.config)
        self._pid = os.getpid()
        self._tiers: TierSet | None = None
        self._queue: DeferredQueue | None = None
        settings = self.config.confidence
        folder = state_folder(self.config) if settings.observes else None
        self._afterwards = Afterwards(folder, settings.shadow_share)
        self._opening = threading.Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Load the local models, unless they are loaded.

        Raises:
            ModelError: it cannot be found, read or run.
        """
        self.check_usable()
        if self._tiers is None:
            await asyncio.to_thread(self._open_blocking)

    def _open_blocking(self) -> None:
        with self._opening:
            self.check_usable()
            if self._tiers is None:
                self._tiers = self._opened = open_tiers(self.config, load_local_model)

    async def close(self) -> None:
        """End what runs with `RuntimeClosedError` and free the model. A second call is harmless."""
        await self.finish_afterwards()
        await asyncio.to_thread(self.close_blocking)
        await self.close_connections()

    async def finish_afterwards(self) -> None:
        """Let what is done behind answers end, within moments: shadows need the tiers."""
        if self._afterwards is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_S):
                    await self._afterwards.finished()

    async def close_connections(self) -> None:
        """Close what this event loop keeps open."""
        opened = self._opened
        if opened is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_S):
                    await opened.close_connections()

    def close_blocking(self) -> None:
        """As `close`, for a thread that may wait, and for the end of the interpreter."""
        self._closed = True
        if self.is_foreign:
            return  # the model's threads, and perhaps the lock's owner, stayed in the parent
        with self._opening:  # a model that is being loaded is closed as soon as it is there
            tiers, self._tiers = self._tiers, None
            queue, self._queue = self._queue, None
        if queue is not None:
            queue.close()
        if tiers is not None:
            tiers.close_blocking()

    @property
    def facts(self) -> ModelFacts:
        """What is known of the first local model: its context, what it needs, and more.

        Raises:
            RuntimeClosedError: nothing is loaded, before `open` or after `close`.
        """
        model = self._model
        if model is None:
            raise RuntimeClosedError("no model is loaded", hint="open the runtime first")
        return model.facts

    @property
    def _model(self) -> LocalModel | None:
        """The first local model; None while nothing is loaded."""
        tiers = self._tiers
        local = None if tiers is None else next(tiers.local_tiers, None)
        return None if local is None else local.model

    @property
    def is_foreign(self) -> bool:
        """Whether this is another process than the one it was made in."""
        return os.getpid() != self._pid

    def check_usable(self) -> None:
        """Raise after `close`, and in a process that was forked from the one it was made in."""
        if self.is_foreign:
            raise RuntimeForkedError(
                "this runtime was created before fork(), and its threads stayed in the parent",
                hint="load the model in the child process",
            )
        if self._closed:
            raise RuntimeClosedError("this runtime is closed", hint="load the model again")

    @overload
    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        response_type: type[T],
        **options: Unpack[RequestOptions],
    ) -> Answer[T]: ...

    @overload
    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        response_type: Any = None,
        **options: Unpack[RequestOptions],
    ) -> Answer[Any]: ...

    async def chat(
        self,
        messages: str | Sequence[Message],
        *,
        response_type: Any = None,
        **options: Unpack[RequestOptions],
    ) -> Answer[Any]:
        """The whole answer to a prompt or a conversation.

        With `response_type`, a pydantic model, a dataclass, a `TypedDict` or what they are made of,
        the answer is JSON for it, and `parsed` an instance.

        Raises:
            RequestError: the request cannot be served as it is.
            AnswerRejectedError: no tier gave an answer of the form that was asked for.
            BackendError: the model failed.
        """
        if options.get("hold") is None:
            # Who waits for the whole answer loses nothing while another tier may still replace it.
            options["hold"] = "full"
        answer: Answer | None = None
        stream = self.stream(messages, response_type=response_type, **options)
        async with contextlib.aclosing(stream) as chunks:
            async for chunk in chunks:
                answer = chunk.answer
        if answer is None:
            raise RuntimeClosedError("the stream ended without an answer")
        return answer

    async def stream(
        self,
        messages: str | Sequence[Message],
        *,
        response_type: Any = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncGenerator[Chunk]:
        """The answer in pieces; the last chunk carries the record. Leaving early stops every tier.

        Raises:
            RequestError: the request cannot be served as it is.
            RoutingError: no tier may have it.
            CloudError, BackendError: the tier whose answer had begun failed.
        """
        started_s = time.perf_counter()
        request = parse_request(messages, with_type(options, response_type), self.config)
        async with in_time(request):
            await self.open()
        self.check_usable()
        tiers = self._tiers
        if tiers is None:
            raise RuntimeClosedError("this runtime is closed", hint="load the model again")
        was_seen = False
        try:
            async with contextlib.aclosing(
                Flow(tiers, request, started_s, self._afterwards).chunks()
            ) as chunks:
                async for chunk in chunks:
                    was_seen = True
                    yield with_value(chunk, request.form)
        except EdgeLLMError as error:
            if was_seen or not request.deferred or not can_wait(error):
                raise
            kept = without_type(options, request.form)
            raise await store(await self._deferred(), messages, kept, error) from error

    async def run(
        self,
        messages: str | Sequence[Message],
        tools: Iterable[ToolLike],
        *,
        response_type: Any = None,
        **options: Unpack[RunOptions],
    ) -> RunResult:
        """Ask, execute the calls, tell the model what came of them, and ask again until it answers.

        `tools` are Python functions with type hints, `Tool`s and sources of them such as
        `MCPServer`; nothing else is ever called. What a tool raises is told to the model.

        Raises:
            ToolError: something is no tool, or cannot be reached.
            RunLimitExceededError: `max_turns`, `max_total_tokens`, `max_usd` or `deadline_s`; its
                `result` holds what was done.
            EdgeLLMError: as `chat`.
        """
        if options.get("hold") is None:
            options["hold"] = "full"
        events = self.run_stream(messages, tools, response_type=response_type, **options)
        async with contextlib.aclosing(events):
            async for event in events:
                if isinstance(event, RunResult):
                    return event
        raise RuntimeClosedError("the run ended without a result")

    async def run_stream(
        self,
        messages: str | Sequence[Message],
        tools: Iterable[ToolLike],
        *,
        response_type: Any = None,
        **options: Unpack[RunOptions],
    ) -> AsyncGenerator[RunEvent]:
        """As `run`: chunks of each answer, a `Step` once its calls are done, last the `RunResult`.

        Leaving early stops the model and asynchronous tools; a function in a thread goes on to its
        end, and nobody hears of it.
        """
        given = with_type(options, response_type)
        async with contextlib.aclosing(run_loop(self.stream, messages, tools, given)) as events:
            async for event in events:
                yield event

    async def answer_deferred(self) -> int:
        """Ask the cloud again for every request that was kept and may be tried now.

        Returns how many were answered; call it when the network is back, or now and then.
        """
        return await answer_waiting(await self._deferred(), self.chat)

    async def take_deferred(self, request_id: str | None = None) -> Answer | None:
        """The answer to a request that was kept, or the oldest that nobody has taken; else None.

        Each answer is handed out once, whoever asks.

        Raises:
            DeferredNotFoundError: there is no request with this id.
        """
        return await take(await self._deferred(), request_id)

    async def _deferred(self) -> DeferredQueue:
        self.check_usable()
        return await asyncio.to_thread(self._open_queue)

    def _open_queue(self) -> DeferredQueue:
        with self._opening:
            if self._queue is None:
                folder = state_folder(self.config)
                self._queue = open_deferred_queue(folder / QUEUE_FILE)
            return self._queue
