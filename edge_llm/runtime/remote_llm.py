"""The Python API over a running server, so that several applications share one loaded model."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import weakref
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Unpack
from urllib.parse import urlsplit

from edge_llm.cloud.breaker import CircuitBreaker
from edge_llm.cloud.client import CloudClient
from edge_llm.cloud.deadline import Deadline
from edge_llm.cloud.types import (
    CloudEvent,
    CloudFinish,
    CloudReasoning,
    CloudRequest,
    CloudText,
    CloudToolCall,
    Endpoint,
    EndpointCapabilities,
    KeySource,
    Timeouts,
    Trust,
)
from edge_llm.config import EdgeConfig
from edge_llm.engine.host import ModelFacts
from edge_llm.errors import (
    CloudError,
    CloudResponseError,
    CloudTimeoutError,
    DeadlineExceededError,
    EdgeLLMError,
    NotRemoteError,
    RuntimeClosedError,
    UnknownOptionError,
    did_you_mean,
)
from edge_llm.prompt.messages import messages_from
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.deferred import DeferredQueue
from edge_llm.runtime.llm import BackgroundLoop, EdgeLLM, shut_down
from edge_llm.runtime.reading import read_answer
from edge_llm.runtime.structured.form import parse_form
from edge_llm.runtime.structured.value import with_type, with_value, without_type
from edge_llm.runtime.transcript import whole_delta
from edge_llm.types import Chunk, Message, RequestOptions, ToolCall

PATIENCE = Timeouts(connect_s=5.0, read_s=900.0, total_s=86_400.0)
"""A small device may read a long prompt for minutes before it says a word."""

GRACE_S = 0.5

_OPENAI_OPTIONS = (
    "max_tokens",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "top_logprobs",
)


def connect(
    url: str,
    model: str | None = None,
    *,
    key_env: str | None = None,
    trust: Trust | None = None,
) -> RemoteEdgeLLM:
    """A running server (`edge-llm serve`) as if its model were loaded here.

    `url` is the server's address, with or without `/v1`; `model` one of its models, the first
    where none is named; `key_env` an environment variable with a key, where one stands before it.
    An address that is not on this machine is taken to be in the owner's network; `trust="cloud"`
    allows any.

    Raises:
        ConfigError: the address cannot be meant.
        CloudError: nobody answers there, or no model.
    """
    return RemoteEdgeLLM(url, model, key_env=key_env, trust=trust)


class AsyncRemoteEdgeLLM(AsyncEdgeLLM):
    """As `AsyncEdgeLLM`, by a server that has the model."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        key_env: str | None = None,
        trust: Trust | None = None,
    ) -> None:
        """Check the address; nothing is asked before `open`.

        Raises:
            ConfigError: it cannot be meant.
        """
        self._pid = os.getpid()
        self._closed = False
        self._wanted = model
        self._endpoint = _endpoint(url, key_env, trust)
        # A server of one's own that is restarted is asked again at once.
        self._client = CloudClient(self._endpoint, breaker=CircuitBreaker(failures_to_open=2**31))
        self._model_name: str | None = None

    @property
    def config(self) -> EdgeConfig:  # type: ignore[override]
        """Not to be had from here.

        Raises:
            NotRemoteError: always.
        """
        self._not_remote("the configuration")

    @property
    def facts(self) -> ModelFacts:
        """Not to be had from here.

        Raises:
            NotRemoteError: always.
        """
        self._not_remote("facts of the model")

    @property
    def model(self) -> str:
        """The server's name of the model.

        Raises:
            RuntimeClosedError: nobody asked it yet.
        """
        if self._model_name is None:
            raise RuntimeClosedError("not connected", hint="open the runtime first")
        return self._model_name

    async def open(self) -> None:
        """Ask the server which models it has, unless that is known.

        Raises:
            CloudError: nobody answers, or there is no such model.
        """
        self.check_usable()
        if self._model_name is not None:
            return
        try:
            names = await self._client.models()
        except CloudError as error:
            failure = self._own(error)
        else:
            if names and (self._wanted is None or self._wanted in names):
                self._model_name = self._wanted or names[0]
                return
            failure = _no_such_model(self._endpoint.name, self._wanted, names)
        raise failure

    async def close(self) -> None:
        """As `close_blocking`; a second call is harmless."""
        self._closed = True
        await self.close_connections()
        self.close_blocking()

    async def close_connections(self) -> None:
        """Close what this event loop keeps open to the server."""
        await self._client.close()

    async def _deferred(self) -> DeferredQueue:
        self._not_remote("the queue of deferred requests")

    def close_blocking(self) -> None:
        """End what runs with `RuntimeClosedError`; the server goes on."""
        self._closed = True
        if not self.is_foreign:
            self._client.close_soon()

    async def stream(
        self,
        messages: str | Sequence[Message],
        *,
        response_type: Any = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncGenerator[Chunk]:
        """The answer in pieces; the last chunk carries the record. Leaving early aborts it."""
        await self.open()
        self.check_usable()
        form = parse_form(with_type(options, response_type))
        request = _request(messages, without_type(options, form), self.model)
        calls = _Calls(self._endpoint.name)
        failure: EdgeLLMError | None = None
        try:
            answer = self._client.stream(request, _deadline(options.get("deadline_s")))
            async with contextlib.aclosing(answer) as events:
                async for event in events:
                    for chunk in self._chunks(event, calls):
                        yield with_value(chunk, form)
        except CloudError as error:
            failure = self._own(error)
        if failure is not None:
            raise failure

    def _chunks(self, event: CloudEvent, calls: _Calls) -> Iterator[Chunk]:
        match event:
            case CloudText(text, logprobs):
                yield Chunk(text=text, logprobs=logprobs)
            case CloudReasoning(text):
                yield Chunk(reasoning=text)
            case CloudToolCall():
                yield from calls.add(event)
            case CloudFinish():
                yield from calls.finish()
                yield self._last(event)

    def _last(self, finish: CloudFinish) -> Chunk:
        with contextlib.suppress(ValueError):
            if finish.record is not None:
                return Chunk(answer=read_answer(finish.record))
        raise CloudResponseError(
            f"{self._endpoint.name!r} answers, but is no edge-llm server",
            hint="other servers belong into tiers",
            endpoint=self._endpoint.name,
        )

    def _own(self, error: CloudError) -> EdgeLLMError:
        """The server's own error, as if it had been raised here."""
        if self._closed:
            return RuntimeClosedError("this runtime is closed", hint="connect again")
        if isinstance(error, CloudTimeoutError) and error.phase == "total":
            return DeadlineExceededError(f"{self._endpoint.name!r} did not answer in time")
        words = error.own_words
        kind = None if words is None else _kinds().get(str(words["code"]))
        if words is None or kind is None:
            return error
        raised = kind.__new__(kind)
        hint = words.get("hint")
        details = words.get("details")
        vars(raised).update(details if isinstance(details, Mapping) else {})
        EdgeLLMError.__init__(
            raised, str(words.get("message")), hint=None if hint is None else str(hint)
        )
        return raised

    def _not_remote(self, what: str) -> NoReturn:
        raise NotRemoteError(
            f"{what} cannot be had over a connection", hint="ask where the model is loaded"
        )


class RemoteEdgeLLM(EdgeLLM):
    """As `EdgeLLM`, by a server that has the model."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        key_env: str | None = None,
        trust: Trust | None = None,
    ) -> None:
        """See `connect`."""
        self._async = self._remote = AsyncRemoteEdgeLLM(url, model, key_env=key_env, trust=trust)
        self._background = BackgroundLoop()
        self._finalizer = weakref.finalize(self, shut_down, self._async, self._background)
        try:
            self._background.run(self._async.open())
        except BaseException:
            self.close()
            raise

    @property
    def model(self) -> str:
        """The server's name of the model."""
        return self._remote.model


class _Calls:
    """Pieces of tool calls until they are whole."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._first: CloudToolCall | None = None
        self._arguments: list[str] = []

    def add(self, piece: CloudToolCall) -> Iterator[Chunk]:
        """The call before, where `piece` begins another."""
        if self._first is not None and piece.index != self._first.index:
            yield from self.finish()
        if self._first is None:
            self._first = piece
        self._arguments.append(piece.arguments)

    def finish(self) -> Iterator[Chunk]:
        """The last call, if there is one."""
        first, text = self._first, "".join(self._arguments)
        self._first, self._arguments = None, []
        if first is None:
            return
        try:
            arguments = json.loads(text or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise CloudResponseError(
                f"{self._endpoint!r} sent a call whose arguments are no JSON object",
                endpoint=self._endpoint,
            )
        call = ToolCall(first.id, first.name, arguments)
        yield Chunk(tool_call=call, tool_call_delta=whole_delta(first.index, call))


def _endpoint(url: str, key_env: str | None, trust: Trust | None) -> Endpoint:
    base_url = url.rstrip("/")
    if not base_url.endswith("/v1"):
        base_url += "/v1"
    host = urlsplit(base_url).hostname or ""
    return Endpoint(
        name=urlsplit(base_url).netloc.rpartition("@")[2] or url,
        base_url=base_url,
        model="chosen when it is asked",
        key=None if key_env is None else KeySource(env=key_env),
        trust=trust or ("device" if _is_loopback(host) else "lan"),
        capabilities=EndpointCapabilities(vision=True, logprobs=True),
        timeouts=PATIENCE,
        max_retries=0,
        ours=True,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _deadline(seconds: object) -> Deadline | None:
    """A little later than the server's own, which can say more of what became of the request."""
    if isinstance(seconds, int | float) and seconds >= 0:
        return Deadline.after(seconds + GRACE_S)
    return None


def _request(
    messages: str | Sequence[Message], options: Mapping[str, Any], model: str
) -> CloudRequest:
    """The request as the server takes it; it judges the values.

    Raises:
        UnknownOptionError: an option that nobody knows.
        NotRemoteError: one that cannot travel.
    """
    known = RequestOptions.__annotations__
    for name in options:
        if name not in known:
            raise UnknownOptionError(f"unknown option {name!r}", hint=did_you_mean(name, known))
    given = {name: value for name, value in options.items() if value is not None}
    if "validator" in given:
        raise NotRemoteError("a validator cannot travel to a server", hint="check the answer here")
    stop = given.pop("stop", ())
    named = {name: given.pop(name) for name in _OPENAI_OPTIONS if name in given}
    body: dict[str, Any] = {"model": model}
    if "logit_bias" in given:
        body["logit_bias"] = {str(token): bias for token, bias in given.pop("logit_bias").items()}
    if given:
        body["edge_llm"] = given
    return CloudRequest(
        messages=messages_from(messages, None),
        # Whoever connects chose the server; what may leave it is for its own label to say.
        label="allow",
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        body=body,
        **named,
    )


def _no_such_model(endpoint: str, wanted: str | None, names: Sequence[str]) -> CloudError:
    from edge_llm.errors import CloudModelNotFoundError

    what = "no model" if wanted is None else f"no model {wanted!r}"
    return CloudModelNotFoundError(
        f"{endpoint!r} has {what}",
        hint=did_you_mean(wanted or "", names) if names else None,
        endpoint=endpoint,
    )


def _kinds() -> dict[str, type[EdgeLLMError]]:
    """Every error class by its code."""
    kinds: dict[str, type[EdgeLLMError]] = {}
    waiting: list[type[EdgeLLMError]] = [EdgeLLMError]
    while waiting:
        kind = waiting.pop()
        kinds[kind.code] = kind
        waiting += kind.__subclasses__()
    return kinds
