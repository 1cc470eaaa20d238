"""Runtimes whose model is a script, for tests of everything above the engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.base import Capabilities
from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.engine.engine import Engine
from edge_llm.engine.inprocess import InProcessHost
from edge_llm.engine.loop import EngineLoop
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.calls.base import ParsedToolCall
from edge_llm.prompt.calls.registry import GENERIC
from edge_llm.prompt.chat_template import CHATML
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.runtime.local import LocalModel
from edge_llm.runtime.tier_set import TierSet
from edge_llm.runtime.tiers import LocalTier

TOKENIZER = ByteTokenizer()
ASSISTANT = list(b"assistant\n")


def encode_reply(text: str) -> list[int]:
    """Token ids of a reply in which markers such as `<tool_call>` are control tokens."""
    ids: list[int] = []
    special = {token.text: token.id for token in TOKENIZER.special_tokens}
    while text:
        marker = next((m for m in special if text.startswith(m)), None)
        if marker is None:
            ids += text[0].encode()
            text = text[1:]
        else:
            ids.append(special[marker])
            text = text[len(marker) :]
    return ids


def spell_calls(*calls: tuple[str, Mapping[str, Any]]) -> str:
    """Calls as the fake model writes them where a grammar leads it."""
    parsed = [ParsedToolCall(name, dict(arguments)) for name, arguments in calls]
    return GENERIC.layout.write(parsed, is_compact=True)


class SpokenBackend(FakeBackend):
    """Says `reply` after the last `assistant` line of any prompt, then ends its turn."""

    def __init__(
        self,
        reply: str,
        capabilities: Capabilities | None = None,
        chat_template: str | None = CHATML,
    ) -> None:
        self.reply = encode_reply(reply)
        super().__init__(
            self._say,
            tokenizer=TOKENIZER,
            capabilities=capabilities or fake_capabilities(max_model_len=1024),
            chat_template=chat_template,
        )

    def _say(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        position = len(tokens) - _end_of_prompt(tokens)
        row = np.zeros(TOKENIZER.vocab_size, np.float32)
        end = min(TOKENIZER.eog_ids)
        row[self.reply[position] if position < len(self.reply) else end] = 30.0
        return row


def _end_of_prompt(tokens: Sequence[int]) -> int:
    size = len(ASSISTANT)
    starts = range(len(tokens) - size, -1, -1)
    return next(s + size for s in starts if list(tokens[s : s + size]) == ASSISTANT)


def local_model(backend: FakeBackend, template: str | None = None) -> LocalModel:
    """A `LocalModel` on an engine thread of its own."""
    loop = EngineLoop(lambda: Engine(backend))
    loop.open()
    return LocalModel(InProcessHost("fake", backend, loop, template))


def local_tiers(backend: FakeBackend) -> TierSet:
    """What a runtime with this one model has open."""
    return TierSet((LocalTier("local", local_model(backend)),))


@contextmanager
def fake_runtime(backend: FakeBackend, **options: Any) -> Iterator[EdgeLLM]:
    """An `EdgeLLM` that loads `backend` whatever model is named."""
    model = local_model(backend)
    with mock.patch("edge_llm.runtime.async_llm.load_local_model", return_value=model):
        llm = EdgeLLM(**options)
    with llm:
        yield llm
