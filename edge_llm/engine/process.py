"""The engine worker as an operating-system process."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from edge_llm.engine.wire import Packet, read_packet, write_packet

logger = logging.getLogger(__name__)

WORKER_COMMAND = (sys.executable, "-P", "-m", "edge_llm.engine.worker")
"""`-P`: a `json.py` in the current folder must not become the worker's."""

_LAST_WORDS = 20
"""Lines of standard error that are kept: an abort in native code says there why."""


class WorkerProcess:
    """One run of the worker. Writing is not thread-safe; reading is one thread's."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(),
            # Ctrl-C in the terminal is the host's to handle.
            start_new_session=True,
        )
        assert self._process.stdin, "it was asked for"
        assert self._process.stdout, "it was asked for"
        self._input, self._output = self._process.stdin, self._process.stdout
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._listening = threading.Thread(
            target=self._drain, name="edge-llm-worker-stderr", daemon=True
        )
        self._listening.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, packet: Packet) -> None:
        """Write one message; a worker that has gone is noticed by the reader."""
        with contextlib.suppress(OSError, ValueError):
            write_packet(self._input, packet)

    def receive(self) -> Packet | None:
        """The next message; None when the process has ended."""
        return read_packet(self._output)

    def hang_up(self) -> None:
        """Close the worker's input, which asks it to end."""
        with contextlib.suppress(OSError):
            self._input.close()

    def end(self, patience_s: float) -> None:
        """Wait for the end, and make it one after `patience_s`."""
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self.hang_up()
        self._listening.join()
        self._output.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def describe_end(self) -> str:
        """How it ended, as in 'the engine ...'."""
        code = self._process.returncode
        if code is None:
            return "is running"
        how = f"exited with code {code}" if code >= 0 else f"was killed by {_signal_name(-code)}"
        return f"{how}: {self._last_words[-1]}" if self._last_words else how

    def _drain(self) -> None:
        assert self._process.stderr, "it was asked for"
        with self._process.stderr as lines:
            for line in lines:
                text = line.decode("utf-8", "replace").strip()
                self._last_words.append(text)
                logger.debug("worker: %s", text)


def worker_environment() -> dict[str, str]:
    """The environment of the worker: ours, with this very package first on its path."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
