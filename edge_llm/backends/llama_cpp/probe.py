"""How the installed llama.cpp was built and how fast its kernels are here.

The library is opened in a process of its own: one that was built for another processor ends with an
illegal instruction, and nothing that asks how a machine is should end with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edge_llm.backends.llama_cpp.ggml import Ggml, library_file
from edge_llm.hub.gguf_types import GGML_TYPES

TIMED = (
    *("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q5_1", "Q5_0", "Q4_K", "Q4_1", "Q4_0"),
    *("IQ4_NL", "IQ4_XS", "MXFP4", "Q3_K", "IQ3_S", "IQ3_XXS", "Q2_K", "IQ2_S"),
)
"""Storage types of files that people use."""

COLUMNS = 2048
WEIGHT_BYTES = 512 << 10
"""Small enough for the second-level cache of most cores, so that memory has no part in it."""
BUDGET_S = 0.006
TIMEOUT_S = 20.0

_FLAG = re.compile(r"([A-Za-z0-9_]+) = (\d+)")


@dataclass(frozen=True, slots=True)
class LibraryProbe:
    """What the installed library says of itself."""

    version: str | None = None
    """Of llama-cpp-python; None where it is not installed."""
    system_info: str = ""
    """The line that llama.cpp prints of itself; empty where it tells nothing."""
    features: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """The flags in that line, such as `AVX2` or `DOTPROD`."""
    kernels: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Bytes a second that one core multiplies from its cache, by storage type."""
    problem: str | None = None
    """Why the library could not be asked, for people."""


def probe_library(*, with_kernels: bool = True) -> LibraryProbe:
    """Ask the installed llama.cpp, in a child process; about a third of a second."""
    try:
        installed = version("llama-cpp-python")
    except PackageNotFoundError:
        return LibraryProbe()
    command = [sys.executable, "-m", __name__]
    try:
        done = subprocess.run(
            [*command, "kernels" if with_kernels else "build"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return LibraryProbe(installed, problem=f"it could not be asked: {exc}")
    if done.returncode != 0:
        return LibraryProbe(installed, problem=_death(done.returncode, done.stderr))
    return read_probe(installed, done.stdout)


def read_probe(installed: str, text: str) -> LibraryProbe:
    """The answer of the child."""
    try:
        record: dict[str, Any] = json.loads(text.splitlines()[-1])
        info, kernels = str(record["system_info"]), dict(record["kernels"])
    except (ValueError, LookupError, TypeError) as exc:
        return LibraryProbe(installed, problem=f"its answer makes no sense: {exc}")
    features = {name: int(value) for name, value in _FLAG.findall(info)}
    return LibraryProbe(installed, info, MappingProxyType(features), MappingProxyType(kernels))


def _death(code: int, errors: str) -> str:
    if code == -signal.SIGILL or code == 0xC000001D - (1 << 32):
        return "it uses instructions that this processor does not have"
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return (errors.strip().splitlines() or [f"exit code {code}"])[-1]


def library_folder() -> Path | None:
    """Where the libraries of llama-cpp-python lie, found without importing it."""
    spec = find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "lib"


def system_info(folder: Path) -> str:
    """What llama.cpp prints of how it was built.

    Raises:
        OSError: it does not load.
    """
    library = ctypes.CDLL(str(library_file(folder, "llama")))
    library.llama_print_system_info.restype = ctypes.c_char_p
    return str(library.llama_print_system_info().decode("utf-8", "replace")).strip(" |")


def time_kernels(folder: Path) -> dict[str, float]:
    """Bytes a second of one core by storage type; empty where the library is built otherwise."""
    try:
        ggml = Ggml(folder)
    except (OSError, AttributeError):  # kernels that are chosen at run time have another name
        return {}
    codes = {kind.name: code for code, kind in GGML_TYPES.items()}
    found = {}
    for name in TIMED:
        rows = max(8, WEIGHT_BYTES // ggml.row_bytes(codes[name], COLUMNS) // 8 * 8)
        around = ggml.time_product(codes[name], COLUMNS, 8, BUDGET_S / 6)
        whole = ggml.time_product(codes[name], COLUMNS, rows, BUDGET_S)
        num_bytes = ggml.row_bytes(codes[name], COLUMNS) * (rows - 8)
        found[name] = num_bytes / max(whole - around, 1e-9)
    return found


def main() -> None:
    """As a child: print what the library says, as one line of JSON."""
    folder = library_folder()
    if folder is None:
        raise SystemExit("llama-cpp-python is not where it should be")
    kernels = time_kernels(folder) if sys.argv[1:] == ["kernels"] else {}
    sys.stdout.write(json.dumps({"system_info": system_info(folder), "kernels": kernels}) + "\n")


if __name__ == "__main__":
    main()
