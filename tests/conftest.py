"""What holds for every test: nothing is written outside of its own temporary folder."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long anything takes says nothing about what it does: machines differ, and are shared.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

EMPTY_CONFIGURATION = Path(__file__).parent / "support" / "empty_configuration.toml"


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGE_LLM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("EDGE_LLM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EDGE_LLM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("EDGE_LLM_CONFIG", str(EMPTY_CONFIGURATION))
