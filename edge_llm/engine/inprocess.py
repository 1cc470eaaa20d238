"""A model served from this process: file, backend, prompt encoder and engine thread."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, ModelInfo
from edge_llm.config import merge_sampling
from edge_llm.engine.engine import Engine
from edge_llm.engine.host import HostSettings, Listener, ModelFacts, ModelHost
from edge_llm.engine.loop import EngineLoop, SubmittedRequest
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.engine.snapshots import open_snapshot_store
from edge_llm.prompt.audit import unprotected_turns
from edge_llm.prompt.chat_template import CHATML, ChatTemplate
from edge_llm.prompt.detokenize import marker_ids
from edge_llm.prompt.encode import EncodedPrompt, PromptEncoder
from edge_llm.prompt.messages import messages_from
from edge_llm.prompt.thinking import thinking_close
from edge_llm.prompt.tokenizer import Tokenizer
from edge_llm.types import SamplingParams

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoopRequest:
    """The `RequestHandle` of a request on an engine thread."""

    loop: EngineLoop
    submitted: SubmittedRequest

    def abort(self) -> None:
        """See `RequestHandle.abort`."""
        self.loop.abort(self.submitted)

    def park(self) -> None:
        """See `RequestHandle.park`."""
        self.loop.park(self.submitted)

    def resume(self) -> None:
        """See `RequestHandle.resume`."""
        self.loop.resume(self.submitted)


class InProcessHost(ModelHost):
    """A loaded model on an engine thread of its own."""

    def __init__(
        self,
        name: str,
        backend: Backend,
        loop: EngineLoop,
        template: str | None,
        sampling: Mapping[str, float] | None = None,
    ) -> None:
        """`sampling` is for a model that recommends none itself."""
        self._loop = loop
        self._encoder = create_encoder(backend.info, backend.tokenizer, template)
        self._facts = ModelFacts(
            name=name,
            file_format=backend.info.file_format,
            architecture=backend.info.architecture,
            max_model_len=backend.capabilities.max_model_len,
            sampling=recommended_sampling(backend.info.sampling or sampling or {}),
            thinking_close=thinking_close(self._encoder),
            memory=backend.info.memory,
            eog_ids=backend.tokenizer.eog_ids,
            visible_tokens=marker_ids(backend.tokenizer),
            supports_tools=self._encoder.template.supports_tools,
            unsure_token_id=find_special(backend.tokenizer, backend.info.unsure_token),
            template_sha256=sha256(self._encoder.template.source.encode()).hexdigest(),
        )

    @property
    def facts(self) -> ModelFacts:
        """See `ModelHost.facts`."""
        return self._facts

    @property
    def is_loaded(self) -> bool:
        """See `ModelHost.is_loaded`."""
        return True

    def encode(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> EncodedPrompt:
        """See `ModelHost.encode`."""
        return self._encoder.encode(messages, tools=tools)

    def submit(self, request: EngineRequest, listener: Listener) -> LoopRequest:
        """See `ModelHost.submit`."""
        return LoopRequest(self._loop, self._loop.submit(request, listener))

    def pin_system_prompt(self, system: str) -> None:
        """Start computing what every conversation under `system` begins with, and keep it."""
        one, other = (self.encode(messages_from(question, system), None) for question in "ab")
        pairs = zip(one.token_ids, other.token_ids, strict=False)
        prefix = tuple(
            token_id for token_id, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
        )
        if not prefix:
            return

        def listen(event: SequenceEvent) -> None:
            if event.error is not None:
                logger.warning("the system prompt was not computed ahead: %s", event.error)

        params = SamplingParams(max_tokens=1)
        self.submit(EngineRequest(prefix, params, prefill_only=True, pinned=True), listen)

    def close(self) -> None:
        """See `ModelHost.close`; blocks for one step at most."""
        self._loop.close()


def open_in_process(settings: HostSettings) -> InProcessHost:
    """The model on an engine thread of this process; blocks while it loads.

    Raises:
        ModelError: the model cannot be run here.
        ChatTemplateError: its template does not parse.
    """
    loop = EngineLoop(lambda: load_engine(settings))
    backend = loop.open()
    try:
        reference = settings.reference
        host = InProcessHost(reference.name, backend, loop, settings.template, reference.sampling)
        if settings.config.system_prompt is not None:
            host.pin_system_prompt(settings.config.system_prompt)
        return host
    except BaseException:
        loop.close()
        raise


def load_engine(settings: HostSettings) -> Engine:
    """The engine for a model file, with its prefix cache on disk where that is configured."""
    config, reference = settings.config, settings.reference
    backend = load_backend(reference.path, config)
    fingerprint = backend.info.state_fingerprint
    snapshots = (
        None
        if fingerprint is None
        else open_snapshot_store(config, fingerprint, label=reference.name)
    )
    return Engine(backend, snapshots, max_decode_slowdown=config.max_decode_slowdown)


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
    warning = unprotected_turns(template, tokenizer.special_tokens)
    if warning:
        logger.warning("%s: %s", info.name, warning)
    return PromptEncoder(tokenizer, template)


def recommended_sampling(sampling: Mapping[str, float]) -> SamplingParams:
    """Our defaults, with what the model's makers recommend put over them."""
    known = {f.name for f in fields(SamplingParams)}
    recommended = {k: v for k, v in sampling.items() if k in known}
    return merge_sampling(SamplingParams(), recommended)


def find_special(tokenizer: Tokenizer, text: str | None) -> int | None:
    """The id of the special token with this spelling; None without a spelling, or a token."""
    if text is None:
        return None
    for token in tokenizer.special_tokens:
        if token.text == text:
            return token.id
    logger.warning("the model names %r as its unsure token and has none such", text)
    return None


def _spelling(tokenizer: Tokenizer, token_id: int | None) -> str:
    return "" if token_id is None else tokenizer.token_bytes(token_id).decode("utf-8", "replace")
