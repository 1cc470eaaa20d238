"""The synchronous face of the runtime: one background event loop per runtime, nothing else.

Works in scripts, threads, servers and notebooks alike, because it never touches the caller's loop.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from edge_llm.config import EdgeConfig, LoadOptions
from edge_llm.engine.host import ModelFacts
from edge_llm.errors import RuntimeClosedError
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.tools.types import RunEvent, RunOptions, RunResult, ToolLike
from edge_llm.types import Answer, Chunk, Message, RequestOptions

T = TypeVar("T")


def load(model: str | os.PathLike[str] | None = None, **options: Unpack[LoadOptions]) -> EdgeLLM:
    """Load a model and return it ready to chat: the built-in one, or the file at a path.

    Raises:
        ConfigError: an unknown option, or a value outside its range.
        ModelError: the model cannot be found, read or run.
    """
    return EdgeLLM(model, **options)


class EdgeLLM:
    """A loaded model to talk to; may be used from several threads at once."""

    def __init__(
        self, model: str | os.PathLike[str] | None = None, **options: Unpack[LoadOptions]
    ) -> None:
        self._async = AsyncEdgeLLM(model, **options)
        self._background = BackgroundLoop()
        # Also runs at exit: a thread inside native code must not outlive the interpreter.
        self._finalizer = weakref.finalize(self, shut_down, self._async, self._background)
        try:
            self._background.run(self._async.open())
        except BaseException:
            self.close()
            raise

    @property
    def config(self) -> EdgeConfig:
        """What the runtime was loaded with."""
        return self._async.config

    @property
    def facts(self) -> ModelFacts:
        """See `AsyncEdgeLLM.facts`."""
        return self._async.facts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what runs with `RuntimeClosedError` and free the model. A second call is harmless."""
        self._finalizer()

    @overload
    def chat(
        self,
        messages: str | Sequence[Message],
        *,
        response_type: type[T],
        **options: Unpack[RequestOptions],
    ) -> Answer[T]: ...

    @overload
    def chat(
        self,
        messages: str | Sequence[Message],
        *,
        response_type: Any = None,
        **options: Unpack[RequestOptions],
    ) -> Answer[Any]: ...

    def chat(
        self,
        messages: str | Sequence[Message],
        *,
        response_type: Any = None,
        **options: Unpack[RequestOptions],
    ) -> Answer[Any]:
        """The whole answer to a prompt or a conversation; see `AsyncEdgeLLM.chat`.

        Raises:
            RequestError: the request cannot be served as it is.
            AnswerRejectedError: no tier gave an answer of the form that was asked for.
            BackendError: the model failed.
        """
        self._async.check_usable()
        return self._background.run(
            self._async.chat(messages, response_type=response_type, **options)
        )

    def answer_deferred(self) -> int:
        """See `AsyncEdgeLLM.answer_deferred`."""
        self._async.check_usable()
        return self._background.run(self._async.answer_deferred())

    def take_deferred(self, request_id: str | None = None) -> Answer | None:
        """See `AsyncEdgeLLM.take_deferred`."""
        self._async.check_usable()
        return self._background.run(self._async.take_deferred(request_id))

    def stream(
        self,
        messages: str | Sequence[Message],
        *,
        response_type: Any = None,
        **options: Unpack[RequestOptions],
    ) -> Generator[Chunk]:
        """The answer in pieces; the last chunk carries the record. Leaving early aborts it."""
        self._async.check_usable()
        yield from self._background.iterate(
            self._async.stream(messages, response_type=response_type, **options)
        )

    def run(
        self,
        messages: str | Sequence[Message],
        tools: Iterable[ToolLike],
        *,
        response_type: Any = None,
        **options: Unpack[RunOptions],
    ) -> RunResult:
        """See `AsyncEdgeLLM.run`; asynchronous tools run on the runtime's own event loop."""
        self._async.check_usable()
        return self._background.run(
            self._async.run(messages, tools, response_type=response_type, **options)
        )

    def run_stream(
        self,
        messages: str | Sequence[Message],
        tools: Iterable[ToolLike],
        *,
        response_type: Any = None,
        **options: Unpack[RunOptions],
    ) -> Generator[RunEvent]:
        """See `AsyncEdgeLLM.run_stream`."""
        self._async.check_usable()
        yield from self._background.iterate(
            self._async.run_stream(messages, tools, response_type=response_type, **options)
        )


class BackgroundLoop:
    """An event loop on a daemon thread of its own."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._is_closing = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="edge-llm-runtime", daemon=True
        )
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Schedule `work`; the returned future may be waited for or cancelled from any thread.

        Raises:
            RuntimeClosedError: the loop ends; what is scheduled now would never run.
        """
        with self._starting:
            if not self._is_closing:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise RuntimeClosedError("this runtime is closed", hint="load the model again")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; an interrupt of the caller (Ctrl-C) cancels it."""
        future = self.start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, stream: AsyncGenerator[T]) -> Generator[T]:
        """What the stream yields; leaving early cancels it."""
        pieces: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()

        async def pump() -> None:
            try:
                async for piece in stream:
                    pieces.put((piece,))
                pieces.put(None)
            except BaseException as error:
                pieces.put(error)
                raise

        task = self.start(pump())
        try:
            while (piece := pieces.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece[0]
        finally:
            task.cancel()

    def close(self) -> None:
        """Let what runs come to its end, then stop the loop and its thread."""
        with self._starting:
            self._is_closing = True
        asyncio.run_coroutine_threadsafe(_other_tasks_done(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _other_tasks_done() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


def shut_down(runtime: AsyncEdgeLLM, background: BackgroundLoop) -> None:
    """End a runtime and its loop, in the process that made them."""
    if runtime.is_foreign:
        # After fork() the threads are not here: there is nothing to stop, and a join would hang.
        return
    background.run(runtime.finish_afterwards())
    runtime.close_blocking()
    background.run(runtime.close_connections())
    background.close()
