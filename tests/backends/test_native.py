import logging
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from edge_llm.backends.llama_cpp.native import load_library
from edge_llm.backends.llama_cpp.tokenizer import open_vocabulary
from tests.support.gguf_files import write_tiny_model

CODE = """
import os
from edge_llm.backends.llama_cpp.native import load_library
load_library()
print(os.environ.get("GOMP_SPINCOUNT"))
"""

OURS = "30000" if platform.machine() in ("x86_64", "AMD64", "i686") else "300000"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, OURS),
        ({"GOMP_SPINCOUNT": "5"}, "5"),
        ({"OMP_WAIT_POLICY": "passive"}, "None"),
    ],
)
def test_threads_spin_shortly_unless_the_environment_says_otherwise(
    environment: dict[str, str], expected: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == expected


def test_what_llama_cpp_calls_an_error_is_a_warning_and_its_chatter_is_for_debugging(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG, "edge_llm.llama_cpp")
    library = load_library()

    library.llama_model_load_from_file(b"/nowhere/model.gguf", library.llama_model_default_params())
    with open_vocabulary(write_tiny_model(tmp_path / "tiny.gguf")):
        pass

    levels = {record.levelno: record.message for record in caplog.records}
    assert "failed" in levels[logging.WARNING]
    assert logging.DEBUG in levels
    assert logging.INFO not in levels
