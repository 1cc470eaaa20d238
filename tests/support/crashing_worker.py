"""An engine worker on a fake model that kills its own process when it reads certain bytes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_llm.backends.base import BatchItem, Interrupt
from edge_llm.backends.fake import FakeBackend, fake_capabilities
from edge_llm.engine.engine import Engine
from edge_llm.engine.host import HostSettings
from edge_llm.engine.inprocess import InProcessHost
from edge_llm.engine.loop import EngineLoop
from edge_llm.engine.worker import main
from edge_llm.errors import ModelFormatError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.chat_template import CHATML

COMMAND = (sys.executable, "-m", "tests.support.crashing_worker")

KILLS_AT_ONCE = b"\x07"
"""In a prompt: the process dies while it is computed."""
KILLS_LATER = b"\x08"
"""In a prompt: the process dies after three tokens of the answer."""
SLOW = b"\x09"
"""In a prompt: each step takes a while."""


class CrashingBackend(FakeBackend):
    """Says `a` without end, and dies as its prompts ask."""

    def __init__(self) -> None:
        super().__init__(
            tokenizer=ByteTokenizer(),
            capabilities=fake_capabilities(max_model_len=4096),
            chat_template=CHATML,
        )
        self.steps_to_live: dict[int, int] = {}

    def forward(
        self, batch: Sequence[BatchItem], interrupt: Interrupt | None = None
    ) -> NDArray[np.float32]:
        """As `FakeBackend.forward`, if the process survives it."""
        for item in batch:
            read = bytes(token for token in item.token_ids if token < 256)
            if KILLS_AT_ONCE in read:
                sys.stderr.write("GGML_ASSERT(a bad prompt) failed\n")
                sys.stderr.flush()
                os.abort()
            if KILLS_LATER in read:
                self.steps_to_live[item.seq_id] = 3
            elif item.seq_id in self.steps_to_live:
                self.steps_to_live[item.seq_id] -= 1
                if self.steps_to_live[item.seq_id] == 0:
                    os.abort()
            if SLOW in read or len(read) == 1:
                time.sleep(0.002)
        return super().forward(batch, interrupt)


def open_crashing(settings: HostSettings) -> InProcessHost:
    """A host on a `CrashingBackend`; the model's name may ask for a failure to load."""
    if settings.reference.name == "unloadable":
        raise ModelFormatError("this model is broken", hint="take another")
    if settings.reference.name == "deadly":
        os.abort()
    once = settings.reference.path
    if settings.reference.name == "deadly later" and once.exists():
        os.abort()
    if settings.reference.name == "deadly later":
        once.touch()
    backend = CrashingBackend()
    loop = EngineLoop(lambda: Engine(backend))
    loop.open()
    return InProcessHost(settings.reference.name, backend, loop, None)


if __name__ == "__main__":
    sys.exit(main(open_crashing))
