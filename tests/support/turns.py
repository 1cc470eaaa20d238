"""A scripted model that says something else in each turn of a conversation, and may call tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.prompt.chat_template import CHATML
from tests.support.runtimes import ASSISTANT, TOKENIZER, encode_reply, spell_calls

WITH_TOOLS = CHATML.replace("{%", "{% if tools %}{{ tools | tojson }}{% endif %}{%", 1)
"""Has a place for tools; what tools said is a turn like any other."""


def called(name: str, **arguments: Any) -> str:
    """One call as the scripted model writes it under a grammar."""
    return spell_calls((name, arguments))


class TurnsBackend(FakeBackend):
    """Says the first reply in its first turn, and so on; the last one again and again."""

    def __init__(self, *replies: str, sureness: float = 30.0) -> None:
        """`sureness` is the logit of each token that it says, where all others have 0."""
        self._sureness = sureness
        self._replies = [encode_reply(reply) for reply in replies]
        super().__init__(
            self._say,
            tokenizer=TOKENIZER,
            capabilities=fake_capabilities(max_model_len=8192),
            chat_template=WITH_TOOLS,
        )

    def _say(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        text = list(tokens)
        size = len(ASSISTANT)
        ends = [i + size for i in range(len(text) - size + 1) if text[i : i + size] == ASSISTANT]
        reply = self._replies[min(len(ends), len(self._replies)) - 1]
        position = len(text) - ends[-1]
        row = np.zeros(TOKENIZER.vocab_size, np.float32)
        row[reply[position] if position < len(reply) else min(TOKENIZER.eog_ids)] = self._sureness
        return row
