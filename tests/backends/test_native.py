import subprocess
import sys

import pytest

CODE = """
import os
os.getloadavg = lambda: ({load}, 0.0, 0.0)
from edge_llm.backends.llama_cpp.native import load_library
load_library()
print(os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("load", "environment", "expected"),
    [
        (0.1, {}, "None"),
        (1.7, {}, "1000"),
        (1.7, {"GOMP_SPINCOUNT": "5"}, "5"),
        (1.7, {"OMP_WAIT_POLICY": "passive"}, "None"),
    ],
)
def test_threads_spin_only_where_nobody_else_wants_the_processors(
    load: float, environment: dict[str, str], expected: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(load=load)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == expected
