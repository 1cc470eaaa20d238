"""Keeps what we send out of the logs of the libraries that send it.

At DEBUG the `openai` package logs options of a request and its HTTP library logs headers and
addresses. An application that uses these packages itself keeps its own log: only records that
are made on our behalf are dropped.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Iterator

_ours: contextvars.ContextVar[bool] = contextvars.ContextVar("edge_llm_cloud", default=False)

_LOGGERS = (
    "openai",
    "openai._base_client",
    "openai._legacy_response",
    "openai._response",
    "httpx2",
    "httpcore2.connection",
    "httpcore2.http11",
    "httpcore2.http2",
    "httpcore2.proxy",
    "httpcore2.socks",
)


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _ours.get()


_filter = _NotOurs()


def hush() -> None:
    """Put the filter in place; harmless to repeat."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """What is logged inside is dropped; never hold it over a `yield` of a generator."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
