"""What holds for every test: nothing is written outside of its own temporary folder."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGE_LLM_CACHE_DIR", str(tmp_path / "cache"))
