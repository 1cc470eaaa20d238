"""A model that leaves memory while nobody asks, and comes back for the next request."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from edge_llm.engine.host import Listener, ModelFacts, ModelHost, RequestHandle
from edge_llm.engine.request import EngineRequest, SequenceEvent
from edge_llm.errors import RuntimeClosedError
from edge_llm.prompt.encode import EncodedPrompt

logger = logging.getLogger(__name__)

MIN_IDLE_S = 1.0
"""A prompt is encoded and then submitted: between the two the model must not go."""


class UnloadingHost(ModelHost):
    """Opens a host when it is needed and closes it after `keep_alive_s` without any use."""

    def __init__(self, open_host: Callable[[], ModelHost], keep_alive_s: float) -> None:
        """Load the model at once, so that what is wrong with it is known.

        Raises:
            EdgeLLMError: what `open_host` raises.
        """
        self._open_host = open_host
        self._keep_alive_s = max(MIN_IDLE_S, keep_alive_s)
        self._changed = threading.Condition()
        self._num_users = 0
        self._idle_since_s = time.monotonic()
        self._closed = False
        self._pid = os.getpid()
        self._host: ModelHost | None = open_host()
        self._facts = self._host.facts
        self._thread = threading.Thread(target=self._main, name="edge-llm-keep-alive", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> ModelFacts:
        """See `ModelHost.facts`; they stay while the model is away."""
        return self._facts

    @property
    def is_loaded(self) -> bool:
        """See `ModelHost.is_loaded`."""
        host = self._host
        return host is not None and host.is_loaded

    def encode(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None
    ) -> EncodedPrompt:
        """See `ModelHost.encode`; blocks while the model is loaded again."""
        with self._in_use() as host:
            return host.encode(messages, tools)

    def submit(self, request: EngineRequest, listener: Listener) -> RequestHandle:
        """See `ModelHost.submit`; blocks while the model is loaded again."""

        def listen(event: SequenceEvent) -> None:
            if event.is_last:
                self._leave()
            listener(event)

        host = self._enter()
        try:
            return host.submit(request, listen)
        except BaseException:
            self._leave()
            raise

    def close(self) -> None:
        """See `ModelHost.close`."""
        if os.getpid() != self._pid:
            return
        with self._changed:
            self._closed = True
            host, self._host = self._host, None
            self._changed.notify_all()
        if host is not None:
            host.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    @contextmanager
    def _in_use(self) -> Iterator[ModelHost]:
        host = self._enter()
        try:
            yield host
        finally:
            self._leave()

    def _enter(self) -> ModelHost:
        with self._changed:
            if self._closed:
                raise RuntimeClosedError("the engine is closed", hint="load the model again")
            if self._host is None:
                logger.info("loading %s again", self._facts.name)
                self._host = self._open_host()
                self._facts = self._host.facts
            self._num_users += 1
            return self._host

    def _leave(self) -> None:
        with self._changed:
            self._num_users -= 1
            if self._num_users == 0:
                self._idle_since_s = time.monotonic()
                self._changed.notify_all()

    def _main(self) -> None:
        """Wait for idleness again and again."""
        with self._changed:
            while not self._closed:
                self._unload_if_idle()
                self._changed.wait(self._wait_s)

    @property
    def _wait_s(self) -> float | None:
        """Seconds until it is worth looking again; None until somebody leaves."""
        if self._host is None or self._num_users:
            return None
        return max(0.0, self._idle_since_s + self._keep_alive_s - time.monotonic())

    def _unload_if_idle(self) -> None:
        idle_s = time.monotonic() - self._idle_since_s
        if self._host is None or self._num_users or idle_s < self._keep_alive_s:
            return
        logger.info("unloading %s after %.0f idle seconds", self._facts.name, idle_s)
        host, self._host = self._host, None
        # Under the lock: whoever comes now needs the memory that is being freed.
        host.close()
