"""`edge-llm quantize` as a user runs it."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_chat import COMMAND
from tests.support.onnx_files import TinyOnnx, write_folder

pytest.importorskip("onnx", reason="quantising needs the onnx package")

TEXT = "hello there, the quick brown fox jumps over the lazy dog. "


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model", TinyOnnx()).parent


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 3)
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "quantize", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def test_a_pipe_gets_one_json_object_and_nothing_else(model: Path, text: Path) -> None:
    done = run(model, "--method", "q8", "--text", text, "--block-size", "16")

    record = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert record["target"] == str(model.with_name("model-q8"))
    assert record["options"]["block_size"] == 16
    assert record["target_bytes"] < record["source_bytes"]
    assert (model.with_name("model-q8") / "model_q8.onnx").is_file()


def test_a_terminal_gets_a_table(model: Path, text: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "quantize", str(model), "--text", str(text)], stdout=slave, stderr=slave
    )
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 4096):
            shown += data
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(master)

    assert process.wait(timeout=60) == 0
    for words in ("original", "size", "perplexity", "KL divergence", "quantising", "written to"):
        assert words in shown.decode()


def test_a_refused_result_is_exit_code_3_and_leaves_nothing(model: Path, text: Path) -> None:
    done = run(model, "--text", text, "--max-kl", "1e-12")

    assert done.returncode == 3
    assert "not the same model" in done.stderr
    assert "hint:" in done.stderr
    assert not model.with_name("model-q4").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "q5"], "no method 'q5'"),
        (["--text", "missing.txt"], "cannot be read"),
        (["--keep", "nowhere"], "matches nothing"),
    ],
)
def test_a_wrong_choice_is_exit_code_2(model: Path, arguments: list[str], words: str) -> None:
    done = run(model, *arguments)

    assert done.returncode == 2
    assert words in done.stderr
