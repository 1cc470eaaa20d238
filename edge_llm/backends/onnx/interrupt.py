"""Ends a computation from outside: asks every few milliseconds whether anybody still wants it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge_llm.backends.base import ForwardInterruptedError, Interrupt
from edge_llm.errors import BackendError

PERIOD_S = 0.02
"""Between two questions; onnxruntime then stops before its next node, a few milliseconds later."""


@contextmanager
def interruptible(interrupt: Interrupt | None, run_options: Any) -> Iterator[None]:
    """Let `interrupt` end the runs in this block that were given `run_options`.

    Raises:
        ForwardInterruptedError: it did.
    """
    if interrupt is None:
        yield
        return
    if interrupt():
        raise ForwardInterruptedError
    done = threading.Event()
    stopped = threading.Event()

    def watch() -> None:
        while not done.wait(PERIOD_S):
            if interrupt():
                stopped.set()
                run_options.terminate = True
                return

    watcher = threading.Thread(target=watch, name="edge-llm-interrupt", daemon=True)
    watcher.start()
    try:
        yield
    except BackendError as exc:
        if stopped.is_set():
            raise ForwardInterruptedError from exc
        raise
    finally:
        done.set()
        watcher.join()
