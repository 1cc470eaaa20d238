import platform
import subprocess
import sys

import pytest

CODE = """
import os
from edge_llm.backends.llama_cpp.native import load_library
load_library()
print(os.environ.get("GOMP_SPINCOUNT"))
"""

OURS = "1000" if platform.machine() in ("x86_64", "AMD64", "i686") else "20000"


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
