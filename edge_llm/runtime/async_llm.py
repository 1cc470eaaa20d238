"""The runtime: every way to ask goes through `AsyncEdgeLLM.stream`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, Unpack

from edge_llm.config import EdgeConfig, LoadOptions, checked_overflow, load_config, merge_sampling
from edge_llm.engine.host import ModelFacts
from edge_llm.engine.request import EngineRequest
from edge_llm.errors import InvalidParameterError, RuntimeClosedError, RuntimeForkedError
from edge_llm.prompt.messages import messages_from
from edge_llm.prompt.thinking import ThinkingBudget, thinking_share
from edge_llm.runtime.answer import AnswerBuilder
from edge_llm.runtime.conversation import FittedPrompt, fit_conversation
from edge_llm.runtime.local import LocalModel, load_local_model
from edge_llm.types import (
    MAX_TOP_LOGPROBS,
    Answer,
    Chunk,
    Message,
    RequestOptions,
    SamplingParams,
)


class AsyncEdgeLLM:
    """A loaded model to talk to from asynchronous code; `async with` loads and frees it.

    May be shared by any number of tasks, also of different event loops.
    """

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
        self._pid = os.getpid()
        self._model: LocalModel | None = None
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
        """Load the model, unless it is loaded.

        Raises:
            ModelError: it cannot be found, read or run.
        """
        self.check_usable()
        if self._model is None:
            await asyncio.to_thread(self._open_blocking)

    def _open_blocking(self) -> None:
        with self._opening:
            self.check_usable()
            if self._model is None:
                self._model = load_local_model(self.config)

    async def close(self) -> None:
        """End what runs with `RuntimeClosedError` and free the model. A second call is harmless."""
        await asyncio.to_thread(self.close_blocking)

    def close_blocking(self) -> None:
        """As `close`, for a thread that may wait, and for the end of the interpreter."""
        self._closed = True
        if self.is_foreign:
            return  # the model's threads, and perhaps the lock's owner, stayed in the parent
        with self._opening:  # a model that is being loaded is closed as soon as it is there
            model, self._model = self._model, None
        if model is not None:
            model.close()

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

    async def chat(
        self, messages: str | Sequence[Message], **options: Unpack[RequestOptions]
    ) -> Answer:
        """The whole answer to a prompt or a conversation.

        Raises:
            RequestError: the request cannot be served as it is.
            BackendError: the model failed.
        """
        answer: Answer | None = None
        async for chunk in self.stream(messages, **options):
            answer = chunk.answer
        if answer is None:
            raise RuntimeClosedError("the stream ended without an answer")
        return answer

    async def stream(
        self, messages: str | Sequence[Message], **options: Unpack[RequestOptions]
    ) -> AsyncGenerator[Chunk]:
        """The answer in pieces; the last chunk carries the record. Leaving early aborts it."""
        started_s = time.perf_counter()
        await self.open()
        self.check_usable()
        model = self._model
        if model is None:
            raise RuntimeClosedError("this runtime is closed", hint="load the model again")
        request, fitted = await asyncio.to_thread(self._prepare, model, messages, options)
        builder = AnswerBuilder(model.facts, fitted, started_s)
        async with contextlib.aclosing(model.generate(request)) as events:
            async for event in events:
                for chunk in builder.add(event):
                    yield chunk

    def _prepare(
        self, model: LocalModel, messages: str | Sequence[Message], options: Mapping[str, Any]
    ) -> tuple[EngineRequest, FittedPrompt]:
        request_options = dict(options)
        system = request_options.pop("system", None)
        tools = request_options.pop("tools", None)
        top_logprobs = checked_top_logprobs(request_options.pop("top_logprobs", None))
        overflow = checked_overflow(request_options.pop("overflow", None), self.config.overflow)
        params = merge_sampling(model.facts.sampling, request_options)
        conversation = _with_system(messages, system, self.config.system_prompt)
        fitted = fit_conversation(
            conversation,
            lambda kept: model.encode(kept, tools),
            max_tokens=params.max_tokens,
            max_model_len=model.facts.max_model_len,
            overflow=overflow,
        )
        request = _engine_request(model.facts, fitted, params)
        if top_logprobs is not None:
            request = replace(request, statistics=top_logprobs, spells=True)
        return request, fitted


def _with_system(
    messages: str | Sequence[Message], system: str | None, default: str | None
) -> Sequence[Message]:
    """The conversation with its system message: the request's own, else the configured one."""
    if messages == "":
        raise InvalidParameterError("the prompt is empty", hint="say something")
    conversation = messages_from(messages, system)
    if default is None or any(m.get("role") in ("system", "developer") for m in conversation):
        return conversation
    return messages_from(conversation, default)


def checked_top_logprobs(top_logprobs: object) -> int | None:
    """A request's own `top_logprobs`; None where it asks for no log-probabilities.

    Raises:
        InvalidParameterError: it is no number from 0 to 20.
    """
    if top_logprobs is None:
        return None
    if (
        not isinstance(top_logprobs, int)
        or isinstance(top_logprobs, bool)
        or not 0 <= top_logprobs <= MAX_TOP_LOGPROBS
    ):
        raise InvalidParameterError(
            f"top_logprobs must be None or 0 to {MAX_TOP_LOGPROBS}, not {top_logprobs!r}"
        )
    return top_logprobs


def _engine_request(
    facts: ModelFacts, fitted: FittedPrompt, params: SamplingParams
) -> EngineRequest:
    prompt = fitted.prompt
    room = facts.max_model_len - len(prompt.token_ids)
    max_tokens = min(params.max_tokens or room, room)
    closing_ids = facts.thinking_close
    constraint = None
    if closing_ids is not None:
        constraint = ThinkingBudget(
            max_tokens=thinking_share(max_tokens, len(closing_ids)),
            closing_ids=closing_ids,
            starts_in_thinking=prompt.opens_thinking,
        )
    return EngineRequest(
        token_ids=tuple(prompt.token_ids),
        params=replace(params, max_tokens=max_tokens),
        constraint=constraint,
        visible_tokens=facts.visible_tokens,
    )
