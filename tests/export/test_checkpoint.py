"""What `scripts/export-onnx` refuses before it starts; exporting needs its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_llm.errors import EdgeLLMError
from scripts.export.convert import check_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write_config(folder, {"model_type": "llama"})
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(8))
    return folder


def write_config(folder: Path, config: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config))


def test_a_whole_checkpoint_is_accepted(checkpoint: Path) -> None:
    check_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_part_is_named(checkpoint: Path, name: str) -> None:
    (checkpoint / name).unlink()

    with pytest.raises(EdgeLLMError, match=name.removeprefix("model")):
        check_checkpoint(checkpoint)


def test_a_name_on_a_hub_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(EdgeLLMError, match="there is no folder"):
        check_checkpoint(tmp_path / "Qwen" / "Qwen2.5-0.5B")


def test_code_that_comes_with_a_checkpoint_is_not_run(checkpoint: Path) -> None:
    write_config(checkpoint, {"auto_map": {"AutoModelForCausalLM": "modeling.Model"}})

    with pytest.raises(EdgeLLMError, match="code of its own"):
        check_checkpoint(checkpoint)


def test_a_damaged_configuration_is_an_error(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_text("{")

    with pytest.raises(EdgeLLMError, match=r"config\.json cannot be read"):
        check_checkpoint(checkpoint)


def test_the_command_says_what_is_wrong_and_writes_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.export", str(tmp_path / "none"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no folder")
    assert not (tmp_path / "out").exists()
