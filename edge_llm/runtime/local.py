"""One local model with everything around it: file, backend, prompt encoder, engine thread."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, ModelInfo
from edge_llm.config import EdgeConfig, merge_sampling
from edge_llm.engine.engine import Engine
from edge_llm.engine.loop import EngineLoop
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.engine.snapshots import open_snapshot_store
from edge_llm.errors import ConfigError
from edge_llm.hub.resolve import ModelReference, resolve_model
from edge_llm.prompt.chat_template import CHATML, ChatTemplate
from edge_llm.prompt.detokenize import marker_ids
from edge_llm.prompt.encode import PromptEncoder, unprotected_turns
from edge_llm.prompt.messages import messages_from
from edge_llm.prompt.thinking import thinking_close
from edge_llm.prompt.tokenizer import Tokenizer
from edge_llm.types import SamplingParams

logger = logging.getLogger(__name__)


class LocalModel:
    """A loaded model that can be asked from any thread."""

    def __init__(self, name: str, backend: Backend, loop: EngineLoop, template: str | None) -> None:
        self.name = name
        self.info = backend.info
        self.max_model_len = backend.capabilities.max_model_len
        self.defaults = recommended_sampling(backend.info)
        self.encoder = create_encoder(backend.info, backend.tokenizer, template)
        self.thinking_close = thinking_close(self.encoder)
        self.visible_tokens = marker_ids(backend.tokenizer)
        self._loop = loop

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

        handle = self._loop.submit(request, listen)
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
                self._loop.abort(handle)

    def pin_system_prompt(self, system: str) -> None:
        """Start computing what every conversation under `system` begins with, and keep it."""
        one, other = (
            self.encoder.encode(messages_from(question, system)).token_ids for question in "ab"
        )
        pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
        prefix = tuple(token_id for token_id, _ in pairs)
        if not prefix:
            return

        def listen(event: SequenceEvent) -> None:
            if event.error is not None:
                logger.warning("the system prompt was not computed ahead: %s", event.error)

        params = SamplingParams(max_tokens=1)
        self._loop.submit(EngineRequest(prefix, params, prefill_only=True, pinned=True), listen)

    def close(self) -> None:
        """Stop the engine and free the model; blocks for one step at most."""
        self._loop.close()


def load_local_model(config: EdgeConfig) -> LocalModel:
    """Find, check and load the configured model; blocks while it loads.

    Raises:
        ModelError: the model cannot be had or run.
        ChatTemplateError: its template does not parse.
    """
    reference = resolve_model(config.model)
    template = read_template(config.chat_template)
    return open_local_model(reference, config, template)


def open_local_model(
    reference: ModelReference, config: EdgeConfig, template: str | None
) -> LocalModel:
    """The model behind `reference` on an engine thread of its own."""
    loop = EngineLoop(lambda: load_engine(reference, config))
    backend = loop.open()
    try:
        model = LocalModel(reference.name, backend, loop, template)
        if config.system_prompt is not None:
            model.pin_system_prompt(config.system_prompt)
        return model
    except BaseException:
        loop.close()
        raise


def load_engine(reference: ModelReference, config: EdgeConfig) -> Engine:
    """The engine for a model file, with its prefix cache on disk where that is configured."""
    backend = load_backend(reference.path, config)
    fingerprint = backend.info.state_fingerprint
    snapshots = (
        None
        if fingerprint is None
        else open_snapshot_store(config, fingerprint, label=reference.name)
    )
    return Engine(backend, snapshots, max_decode_slowdown=config.max_decode_slowdown)


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


def create_encoder(info: ModelInfo, tokenizer: Tokenizer, override: str | None) -> PromptEncoder:
    """The prompt encoder for a model: its own template, the caller's, or ChatML with a warning."""
    source = override or info.chat_template
    if source is None:
        logger.warning(
            "%s brings no chat template; using ChatML, pass chat_template for another", info.name
        )
        source = CHATML
    template = ChatTemplate(
        source,
        bos_token=_spelling(tokenizer, tokenizer.bos_id),
        eos_token=_spelling(tokenizer, tokenizer.eos_id),
    )
    encoder = PromptEncoder(tokenizer, template)
    warning = unprotected_turns(encoder)
    if warning:
        logger.warning("%s: %s", info.name, warning)
    return encoder


def _spelling(tokenizer: Tokenizer, token_id: int | None) -> str:
    return "" if token_id is None else tokenizer.token_bytes(token_id).decode("utf-8", "replace")


def recommended_sampling(info: ModelInfo) -> SamplingParams:
    """Our defaults, with what the model's makers recommend put over them."""
    known = {f.name for f in fields(SamplingParams)}
    recommended: Mapping[str, Any] = {k: v for k, v in info.sampling.items() if k in known}
    return merge_sampling(SamplingParams(), recommended)
