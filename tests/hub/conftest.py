"""A loopback hub and a cache of its own, for the tests that fetch from one to the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from edge_llm.hub import client_errors
from tests.support.gguf_files import TinySpec, tiny_model
from tests.support.hub_server import HubServer

REPO = "acme/tiny-GGUF"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A hub with one repository of one model, and nobody's own settings in the way."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(client_errors, "FIRST_PAUSE_S", 0.001)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.add_repo(REPO, {"README.md": b"hello", "tiny-Q8_0.gguf": tiny_model(TinySpec())})
        yield server


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Permissions count, for the superuser too."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    yield
    os.seteuid(was)
