"""Work that may go deep, on a thread with the stack for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from edge_llm.errors import GrammarTooLargeError

T = TypeVar("T")

_LEAST_BYTES = 8 << 20
_PAGES = 1 << 16

_sizing = threading.Lock()
"""The size of the next thread's stack is one number for the whole process."""


def run_deep(work: Callable[[], T], *, stack_bytes: int) -> T:
    """What `work` returns, or raises, run to its end on a thread with so much stack.

    Only what is used of a stack takes memory.

    Raises:
        GrammarTooLargeError: there is no room for such a stack.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 — thread border: the caller gets it
            result.set_exception(error)

    thread = threading.Thread(target=run, name="edge-llm-deep", daemon=True)
    with _sizing:
        usual = threading.stack_size(-(-max(stack_bytes, _LEAST_BYTES) // _PAGES) * _PAGES)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as exc:
            raise GrammarTooLargeError("there is no memory to compile the grammar") from exc
        finally:
            threading.stack_size(usual)
    return result.result()
