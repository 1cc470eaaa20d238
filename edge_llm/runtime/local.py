"""One local model as the runtime asks it: asynchronously, wherever its engine lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_llm.config import EdgeConfig
from edge_llm.engine.host import HostSettings, ModelFacts, ModelHost, RequestHandle
from edge_llm.engine.keep_alive import UnloadingHost
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import ConfigError
from edge_llm.hub.resolve import ModelLocation, resolve_model
from edge_llm.prompt.encode import EncodedPrompt


class LocalRun:
    """One request under way."""

    def __init__(self, handle: RequestHandle, events: asyncio.Queue[SequenceEvent]) -> None:
        self._handle = handle
        self._events = events
        self._is_over = False

    async def next(self) -> SequenceEvent:
        """What happened next; may be cancelled, and asked again, without losing any of it.

        Raises:
            EdgeLLMError: what ended the request, if it was not an answer.
        """
        event = await self._events.get()
        self._is_over = event.is_last
        if event.error is not None:
            raise event.error
        return event

    def park(self) -> None:
        """Set it aside; a few tokens may still come."""
        if not self._is_over:
            self._handle.park()

    def resume(self) -> None:
        """Go on with it."""
        if not self._is_over:
            self._handle.resume()

    def abort(self) -> None:
        """Stop it, unless it is over; does not wait."""
        if not self._is_over:
            self._is_over = True
            self._handle.abort()


class LocalModel:
    """A served model that can be asked from any thread and any event loop."""

    def __init__(self, host: ModelHost, location: ModelLocation | None = None) -> None:
        self._host = host
        self.location = location
        """Where its file is; None where it has none."""

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model."""
        return self._host.facts

    def encode(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> EncodedPrompt:
        """The prompt for a conversation; blocks, and loads the model where it was unloaded.

        Raises:
            RequestError: the conversation cannot be put to this model.
        """
        return self._host.encode(messages, tools)

    async def start(self, request: EngineRequest) -> LocalRun:
        """Begin a request; whoever leaves before it is over must `abort` it.

        Raises:
            RuntimeClosedError: the model was closed.
        """
        caller = asyncio.get_running_loop()
        events: asyncio.Queue[SequenceEvent] = asyncio.Queue()

        def listen(event: SequenceEvent) -> None:
            # A caller whose event loop was closed cannot be told, and must not stop the engine.
            with contextlib.suppress(RuntimeError):
                caller.call_soon_threadsafe(events.put_nowait, event)

        if self._host.is_loaded:
            return LocalRun(self._host.submit(request, listen), events)
        loading = asyncio.ensure_future(asyncio.to_thread(self._host.submit, request, listen))
        try:
            return LocalRun(await asyncio.shield(loading), events)
        except asyncio.CancelledError:
            loading.add_done_callback(_abort_late)
            raise

    def close(self) -> None:
        """Stop the engine and free the model; blocks for one step at most."""
        self._host.close()


def _abort_late(submitted: asyncio.Future[RequestHandle]) -> None:
    if not submitted.cancelled() and submitted.exception() is None:
        submitted.result().abort()


def load_local_model(config: EdgeConfig) -> LocalModel:
    """Find, check and load the configured model; blocks while it loads.

    Raises:
        ModelError: the model cannot be had or run.
        ChatTemplateError: its template does not parse.
    """
    reference = resolve_model(config.model)
    settings = HostSettings(reference, config, read_template(config.chat_template))
    return LocalModel(open_host(settings), reference)


def open_host(settings: HostSettings) -> ModelHost:
    """The model behind `settings`, loaded, where and for as long as the configuration wants it."""
    keep_alive_s = settings.config.keep_alive
    if keep_alive_s is None:
        return _open_host(settings)
    return UnloadingHost(lambda: _open_host(settings), keep_alive_s)


def _open_host(settings: HostSettings) -> ModelHost:
    # Imported here: who runs the engine elsewhere must not pay for its libraries.
    if settings.config.worker:
        from edge_llm.engine.remote import open_remote

        return open_remote(settings)
    from edge_llm.engine.inprocess import open_in_process

    return open_in_process(settings)


def read_template(chat_template: str | None) -> str | None:
    """The Jinja source behind the `chat_template` option, which may be a path.

    Raises:
        ConfigError: it reads like a path, and no such file is there.
    """
    if chat_template is None or "{{" in chat_template or "{%" in chat_template:
        return chat_template
    path = Path(chat_template).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"chat_template {chat_template!r} is neither Jinja nor a readable file",
            hint="a template contains {{ or {%",
        ) from exc
