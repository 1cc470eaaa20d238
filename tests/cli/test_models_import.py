"""`edge-llm models import` of what Ollama and LM Studio have, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_chat import COMMAND
from tests.support.gguf_files import TinySpec, tiny_model
from tests.support.stores import OllamaTree, write_lmstudio

LIBRARY = "registry.ollama.ai/library"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user with both programs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    tree = OllamaTree(tmp_path / ".ollama" / "models")
    tree.add(f"{LIBRARY}/tiny/latest", tree.manifest())
    tree.add(f"{LIBRARY}/broken/latest", "{")
    write_lmstudio(
        tmp_path / ".lmstudio" / "models",
        {"acme/Tiny GGUF/tiny-F32.gguf": tiny_model(TinySpec())},
    )
    return tmp_path


def edge_llm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )


def result(*arguments: str) -> dict[str, Any]:
    done = edge_llm(*arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_without_a_name_it_lists_what_could_be_imported(home: Path) -> None:
    found = result("models", "import")

    by_name = {record["reference"]: record for record in found["models"]}
    assert set(by_name) == {
        "ollama:tiny:latest",
        "ollama:broken:latest",
        "lmstudio:acme/Tiny GGUF/tiny-F32.gguf",
    }
    assert "no JSON" in by_name["ollama:broken:latest"]["problem"]
    assert by_name["ollama:tiny:latest"]["imported"] is False
    assert found["stores"] == [str(home / ".ollama/models"), str(home / ".lmstudio/models")]


def test_an_imported_model_is_asked_inspected_verified_and_forgotten(home: Path) -> None:
    (imported,) = result("models", "import", "ollama:tiny")["imported"]
    name = imported["reference"]

    assert name == "ollama:tiny:latest"
    assert Path(imported["path"]).parent == home / ".ollama/models/blobs"
    answer = result("chat", "-m", "ollama:tiny", "-n", "2", "--context-size", "256", "--json", "x")
    assert answer["model"] == name
    assert result("inspect", name)["path"] == imported["path"]
    assert [m["state"] for m in result("models", "verify", name)["models"]] == ["whole"]
    assert [m["reference"] for m in result("models", "verify")["models"]] == [name]
    assert edge_llm("models", "export", name, str(home / "stick")).returncode == 3
    assert result("models", "import")["models"][1]["imported"] is True
    assert result("models", "rm", name, "--yes")["removed"] == name
    assert Path(imported["path"]).is_file()
    assert edge_llm("inspect", name).returncode == 3


def test_all_models_of_a_program_are_imported_but_for_the_broken(home: Path) -> None:
    records = {r["reference"]: r for r in result("models", "import", "ollama")["imported"]}

    assert records["ollama:tiny:latest"]["problem"] is None
    assert "no JSON" in records["ollama:broken:latest"]["problem"]
    (other,) = result("models", "import", "lmstudio")["imported"]
    assert result("inspect", other["reference"])["format"] == "gguf"


def test_a_store_elsewhere_is_named(home: Path, tmp_path: Path) -> None:
    tree = OllamaTree(tmp_path / "disk")
    tree.add(f"{LIBRARY}/other/1b", tree.manifest())

    (imported,) = result("models", "import", "ollama:other:1b", "--store", str(tree.folder))[
        "imported"
    ]

    assert imported["path"].startswith(str(tree.folder))
    missing = edge_llm("models", "import", "ollama:other:1b", "--store", str(tmp_path / "gone"))
    assert missing.returncode == 3


def test_what_is_not_there_names_what_is(home: Path) -> None:
    done = edge_llm("models", "import", "ollama:tinny")

    assert done.returncode == 3
    assert "ollama:tiny:latest" in done.stderr
    assert edge_llm("models", "import", "ollama:broken").returncode == 3


def test_a_model_that_moved_is_an_error_that_says_what_to_do(home: Path) -> None:
    (imported,) = result("models", "import", "ollama:tiny")["imported"]
    Path(imported["path"]).unlink()

    done = edge_llm("chat", "-m", "ollama:tiny", "hello")

    assert done.returncode == 3
    assert "is gone" in done.stderr
    assert "edge-llm models rm ollama:tiny:latest" in done.stderr
    checked = edge_llm("models", "verify")
    assert checked.returncode == 3
    assert json.loads(checked.stdout)["models"][0]["state"] == "damaged"
    assert "edge-llm models import ollama:tiny:latest" in checked.stderr


def test_a_folder_is_still_an_exported_model(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()

    done = edge_llm("models", "import", str(tmp_path / "nothing"))

    assert done.returncode == 3
    assert "ollama" not in done.stderr
