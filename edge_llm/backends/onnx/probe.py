"""What the installed onnxruntime can run models on, asked in a process of its own.

A build for another processor ends with an illegal instruction at import (1.21.0 on a Raspberry
Pi 4), and a vendor's plugin may do what it likes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from edge_llm.backends.onnx.native import load_library
from edge_llm.backends.onnx.providers import list_devices

TIMEOUT_S = 20.0

PACKAGES = ("onnxruntime", "onnxruntime-openvino", "onnxruntime-gpu", "onnxruntime-directml")
"""Wheels that each bring an onnxruntime; two of them overwrite each other's files."""

PLUGINS = ("onnxruntime-qnn", "onnxruntime-ep-openvino")


@dataclass(frozen=True, slots=True)
class OnnxProbe:
    """What the library says."""

    version: str | None = None
    """None where it cannot be imported."""
    providers: tuple[str, ...] = ()
    """That it was built with."""
    devices: tuple[str, ...] = ()
    """Kinds of devices and the provider of each, plugins included: `npu (QNNExecutionProvider)`."""
    problem: str | None = None


class OnnxQuestion:
    """A child that has been asked; `answer` waits for it."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> OnnxProbe:
        """What the child says, or why it says nothing."""
        try:
            output, errors = self._child.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
            return OnnxProbe(problem=f"it did not answer within {TIMEOUT_S:g} s")
        code = self._child.returncode
        if code == -signal.SIGILL:
            return OnnxProbe(problem="it uses instructions that this processor does not have")
        if code < 0:
            return OnnxProbe(problem=f"it was ended by {signal.Signals(-code).name}")
        try:
            record = json.loads(output.splitlines()[-1])
            return OnnxProbe(
                record["version"], tuple(record["providers"]), tuple(record["devices"])
            )
        except (ValueError, LookupError, TypeError):
            return OnnxProbe(problem=(errors.strip().splitlines() or [f"exit code {code}"])[-1])


def installed(names: tuple[str, ...]) -> dict[str, str]:
    """Versions of those packages of `names` that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """As a child: print what the library says, as one line of JSON."""
    library = load_library()
    devices = [f"{device.kind} ({device.provider})" for device in list_devices()]
    record = {
        "version": library.__version__,
        "providers": library.get_available_providers(),
        "devices": list(dict.fromkeys(devices)),
    }
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
