from pathlib import Path

import pytest

from edge_llm.cli.inspect_calibrations import describe_calibrations
from edge_llm.config import EdgeConfig
from edge_llm.hub.resolve import resolve_model
from edge_llm.runtime.calibrations import FOLDER


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_LLM_DATA_DIR", str(tmp_path))
    return tmp_path / FOLDER


def test_without_calibrations_nothing_is_said(folder: Path) -> None:
    location, config = resolve_model("builtin"), EdgeConfig()

    assert describe_calibrations(location, config) == {}
    folder.mkdir()
    assert describe_calibrations(location, config) == {}


def test_a_damaged_calibration_is_named_with_its_problem(folder: Path) -> None:
    folder.mkdir()
    path = folder / "builtin.default.00000000.json"
    path.write_text("{}")
    (folder / "other.default.00000000.json").write_text("{}")

    (described,) = describe_calibrations(resolve_model("builtin"), EdgeConfig()).values()

    assert list(described) == [path.name]
    assert (described[path.name]["path"], described[path.name]["holds"]) == (str(path), False)
    assert described[path.name]["problem"]
