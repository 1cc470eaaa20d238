"""Feeds files to load children and says what became of each, crashes and hangs included."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.gguf_mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
HANG_S = 10.0
START_S = 60.0


class Verdict(NamedTuple):
    """What became of one file."""

    label: str
    outcome: str
    """As in `load_child`, or "crash" or "hang"."""
    detail: str


class LoadChild:
    """A process that loads one file after the other, started again when it dies."""

    def __init__(self, *options: str, module: str = "tests.support.load_child") -> None:
        self._options = options
        self._module = module
        self._process: subprocess.Popen[str] | None = None
        self._fresh = True

    def judge(self, path: Path) -> tuple[str, str]:
        """Outcome and detail for the file at `path`."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        patience = START_S if self._fresh else HANG_S
        self._fresh = False
        ready, _, _ = select.select([process.stdout], [], [], patience)
        if not ready:
            self.close()
            return "hang", f"no answer in {patience} s"
        line = process.stdout.readline()
        if not line:
            return self._died(process)
        answer = json.loads(line)
        return answer["outcome"], answer["detail"]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._fresh = True
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, *self._options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                cwd=ROOT,
                env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            )
        return self._process

    def _died(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        _, errors = process.communicate()
        self._process = None
        code = process.returncode
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return "crash", f"{name}: {errors.strip()[-300:]}"


def run_campaign(mutants: Iterable[Mutant], folder: Path, *options: str) -> Iterator[Verdict]:
    """The verdict on each mutant; the files of crashes and hangs stay in `folder`."""
    child = LoadChild(*options)
    try:
        for index, mutant in enumerate(mutants):
            path = folder / f"mutant-{index}.gguf"
            path.write_bytes(mutant.data)
            outcome, detail = child.judge(path)
            if outcome not in ("crash", "hang"):
                path.unlink()
            yield Verdict(mutant.label, outcome, detail)
    finally:
        child.close()
