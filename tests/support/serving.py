"""Our own server over a scripted model, on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from edge_llm.backends.fake import FakeBackend
from edge_llm.runtime.async_llm import AsyncEdgeLLM
from edge_llm.server.serve import serving
from tests.support.runtimes import local_model


@contextmanager
def served(backend: FakeBackend, **options: Any) -> Iterator[str]:
    """The address, without `/v1`, of a server whose model is `backend`."""
    model = local_model(backend)
    loading = mock.patch("edge_llm.runtime.async_llm.load_local_model", return_value=model)
    with loading, serving(AsyncEdgeLLM(**options)) as url:
        yield url
