"""One local model as the runtime asks it: asynchronously, wherever its engine lives."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_llm.config import EdgeConfig
from edge_llm.engine.host import HostSettings, ModelFacts, ModelHost
from edge_llm.engine.keep_alive import UnloadingHost
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import ConfigError
from edge_llm.hub.resolve import resolve_model
from edge_llm.prompt.encode import EncodedPrompt


class LocalModel:
    """A served model that can be asked from any thread and any event loop."""

    def __init__(self, host: ModelHost) -> None:
        self._host = host

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

    async def generate(self, request: EngineRequest) -> AsyncGenerator[SequenceEvent]:
        """Events of one request as they happen; leaving the iteration early aborts it.

        Raises:
            EdgeLLMError: what ended the request, if it was not an answer.
        """
        caller = asyncio.get_running_loop()
        events: asyncio.Queue[SequenceEvent] = asyncio.Queue()

        def listen(event: SequenceEvent) -> None:
            # A caller whose event loop was closed cannot be told, and must not stop the engine.
            with contextlib.suppress(RuntimeError):
                caller.call_soon_threadsafe(events.put_nowait, event)

        if self._host.is_loaded:
            handle = self._host.submit(request, listen)
        else:
            handle = await asyncio.to_thread(self._host.submit, request, listen)
        finished = False
        try:
            while not finished:
                event = await events.get()
                finished = event.is_last
                if event.error is not None:
                    raise event.error
                yield event
        finally:
            if not finished:
                handle.abort()

    def close(self) -> None:
        """Stop the engine and free the model; blocks for one step at most."""
        self._host.close()


def load_local_model(config: EdgeConfig) -> LocalModel:
    """Find, check and load the configured model; blocks while it loads.

    Raises:
        ModelError: the model cannot be had or run.
        ChatTemplateError: its template does not parse.
    """
    reference = resolve_model(config.model)
    return LocalModel(
        open_host(HostSettings(reference, config, read_template(config.chat_template)))
    )


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
