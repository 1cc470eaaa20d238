"""The header of a file of 4 GB on a hub on loopback: what is read of it, and how long it takes.

The command is timed as a user runs it, from the start of the interpreter to the last line; the
machine's speed is remembered from the first run, as it is on every machine after its first day.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, figure
from tests.support.hub_server import HubServer, make_file
from tests.support.sparse_files import EIGHT_BILLION, vocabulary_bytes, write_sparse_model

REPO = "acme/Big-GGUF"
REPEATS, QUICK_REPEATS = 7, 3
MEGABYTE = 1e6


def measure_part(*, quick: bool) -> dict[str, Figure]:
    """Bytes and seconds of `edge-llm inspect` on the hub and on the same file here."""
    with tempfile.TemporaryDirectory() as scratch, HubServer() as hub:
        folder = Path(scratch)
        path = write_sparse_model(folder / "big-Q4_0.gguf", EIGHT_BILLION)
        size, vocabulary = path.stat().st_size, vocabulary_bytes(path)
        file = make_file(path.name, path, sha256="0" * 64)
        hub.add_repo(REPO, {path.name: file})
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(folder / "hf"),
            "EDGE_LLM_CACHE_DIR": str(folder / "cache"),
        }
        remote = [_timed(f"hf:{REPO}", environment, hub) for _ in range(_count(quick))]
        local = [_timed(str(path), environment, hub) for _ in range(_count(quick))]
    first, *later = remote
    beyond = [(run["sent"] - vocabulary) / MEGABYTE for run in remote]
    return {
        "inspect_file_size": figure([size / MEGABYTE], "MB"),
        "inspect_vocabulary": figure([vocabulary / MEGABYTE], "MB"),
        "inspect_read_beyond_vocabulary": figure(beyond, "MB", goal=2.0, direction="at_most"),
        "inspect_requests": figure([run["requests"] for run in remote], ""),
        "inspect_wall": figure([run["wall"] for run in later], "s", goal=2.0, direction="at_most"),
        "inspect_cpu": figure([run["cpu"] for run in later], "s"),
        "inspect_first_wall": figure([first["wall"]], "s"),
        "inspect_local_wall": figure([run["wall"] for run in local], "s"),
    }


def _count(quick: bool) -> int:
    return 1 + (QUICK_REPEATS if quick else REPEATS)


def _timed(reference: str, environment: dict[str, str], hub: HubServer) -> dict[str, float]:
    """One run of the command; it must have found a whole model."""
    hub.bytes_sent = 0
    hub.requests.clear()
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "edge_llm", "inspect", reference],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    wall, after = time.perf_counter() - started, os.times()
    record: dict[str, Any] = json.loads(done.stdout)
    assert record["problem"] is None
    return {
        "wall": wall,
        "cpu": after.children_user + after.children_system
        - before.children_user - before.children_system,
        "sent": float(hub.bytes_sent),
        "requests": float(len(hub.requests)),
    }  # fmt: skip
