"""Runtimes with a scripted local model and a scripted cloud over real sockets."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.base import Capabilities
from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.chat_template import CHATML
from edge_llm.routing.base import HealthFacts
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.runtime.llm import EdgeLLM
from edge_llm.runtime.local import LocalModel
from tests.support.cloud_server import CloudServer
from tests.support.runtimes import ASSISTANT, encode_reply, local_model

UNSURE = "<|unsure|>"

CLOUD_ANSWER = """
say From
say \\u0020the
say \\u0020cloud.
finish stop
usage 9 3
done
"""


class DoubtfulBackend(FakeBackend):
    """Says `reply`, each token with the probability that `sureness` gives for its position.

    With `unsure`, the model has an unsure token that it gives this probability before it answers.
    """

    def __init__(
        self,
        reply: str,
        sureness: Callable[[int], float] = lambda position: 0.999,
        *,
        unsure: float | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        base = [token.text for token in ByteTokenizer().special_tokens]
        self.reply = encode_reply(reply)
        self._sureness = sureness
        self._unsure = unsure
        super().__init__(
            self._say,
            tokenizer=ByteTokenizer([*base, UNSURE]),
            capabilities=capabilities or fake_capabilities(max_model_len=1024),
            chat_template=CHATML,
            unsure_token=None if unsure is None else UNSURE,
        )

    def _say(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        starts = range(len(tokens) - len(ASSISTANT), -1, -1)
        begin = next(s for s in starts if list(tokens[s : s + len(ASSISTANT)]) == ASSISTANT)
        said = list(tokens[begin + len(ASSISTANT) :])
        is_first = not said
        if said[:1] == [self.tokenizer.vocab_size - 1]:
            del said[0]  # what it says after its unsure token is the same
        position = len(said)
        ends = min(self.tokenizer.eog_ids)
        token = self.reply[position] if position < len(self.reply) else ends
        share = self._sureness(position)
        row = np.zeros(self.tokenizer.vocab_size, np.float32)
        row[token] = math.log(share / (1.0 - share) * (self.tokenizer.vocab_size - 1))
        if is_first and self._unsure is not None:
            mass = float(np.exp(row.astype(np.float64)).sum()) - 1.0
            row[self.tokenizer.vocab_size - 1] = math.log(
                self._unsure / (1.0 - self._unsure) * mass
            )
        return row


class SlowBackend(DoubtfulBackend):
    """Takes a moment for each token."""

    step_s = 0.005

    def forward(self, batch: Any, interrupt: Any = None) -> Any:
        import time

        time.sleep(self.step_s)
        return super().forward(batch)


def cloud(server: CloudServer, **changes: Any) -> dict[str, Any]:
    """A tier that is the scripted server, asked once and without patience for a reset."""
    return {"name": "cloud", "base_url": server.url, "model": "m", "max_retries": 0, **changes}


LOCAL = {"name": "local", "model": "builtin"}


@contextmanager
def scripted(model: LocalModel) -> Iterator[None]:
    """While it lasts, `model` is what is loaded, and this machine counts as in good health."""
    with (
        mock.patch("edge_llm.runtime.async_llm.load_local_model", return_value=model),
        mock.patch("edge_llm.runtime.health.read_health", return_value=HealthFacts()),
    ):
        yield


@asynccontextmanager
async def hybrid_async(
    backend: FakeBackend, *scripts: str, **options: Any
) -> AsyncIterator[tuple[AsyncEdgeLLM, CloudServer]]:
    """An `AsyncEdgeLLM` with `backend` as its local tier and the scripts as its cloud."""
    with CloudServer(*(scripts or (CLOUD_ANSWER,))) as server:
        settings = {"tiers": [LOCAL, cloud(server)], "privacy": {"label": "allow"}, **options}
        model = local_model(backend)
        with scripted(model):
            llm = AsyncEdgeLLM(**settings)
            await llm.open()
        async with llm:
            yield llm, server


@contextmanager
def hybrid(
    backend: FakeBackend, *scripts: str, **options: Any
) -> Iterator[tuple[EdgeLLM, CloudServer]]:
    """The same behind the synchronous face."""
    with CloudServer(*(scripts or (CLOUD_ANSWER,))) as server:
        settings = {"tiers": [LOCAL, cloud(server)], "privacy": {"label": "allow"}, **options}
        model = local_model(backend)
        with scripted(model):
            llm = EdgeLLM(**settings)
        with llm:
            yield llm, server
