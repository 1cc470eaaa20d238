"""The one door to llama.cpp: imports the library once, checks its version, routes its log.

Everything that calls llama.cpp takes the module from `load_library`; nothing else imports it.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import platform
import threading
from types import ModuleType
from typing import Any

from edge_llm.errors import ConfigError

LLAMA_CPP_PYTHON_VERSION = "0.3.36"
"""Struct layouts change between releases: another version would read one field as another."""

_INSTALL_HINT = "pip install 'edge-llm[gguf]'"

_SPINS = "30000" if platform.machine() in ("x86_64", "AMD64", "i686") else "300000"
"""How often a thread looks at a barrier before it sleeps: for up to a millisecond.

Where a virtual machine shares its processors, waking a thread that sleeps costs a quarter of every
token. Spinning for longer gains little more, and when another process takes a core, each of a
token's hundreds of barriers waits that long until fewer threads are set, 0.3 s later. One look
takes some 30 ns on x86, whose `pause` waits, and 1 to 2 ns elsewhere, where this is the number that
GNU OpenMP has by itself. libgomp reads the variable when it is loaded.
Source: libgomp config/linux/wait.h; figures in benchmarks/RESULTS.md.
"""

_LOG_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.INFO, 4: logging.WARNING}
"""ggml's level to ours, one lower: what matters is raised as an error, so its warnings only inform.

Source: ggml.h `enum ggml_log_level` (1 debug, 2 info, 3 warn, 4 error, 5 continues the last line).
"""
_CONTINUES = 5

_logger = logging.getLogger("edge_llm.llama_cpp")
_lock = threading.Lock()
_library: ModuleType | None = None
_callback: Any = None  # C keeps only the address: dropping this object would leave it dangling


def load_library() -> ModuleType:
    """The `llama_cpp` module, imported and set up on the first call; safe to call from any thread.

    Raises:
        ConfigError: llama-cpp-python is not installed, cannot be loaded, or has another version.
    """
    global _library
    with _lock:
        if _library is None:
            _library = _import_library()
            _route_log(_library)
            _library.llama_backend_init()
        return _library


def _import_library() -> ModuleType:
    # Without this an abort inside ggml first forks a debugger.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    try:
        library = importlib.import_module("llama_cpp")
    except ModuleNotFoundError as exc:
        raise ConfigError("llama-cpp-python is not installed", hint=_INSTALL_HINT) from exc
    except (ImportError, OSError, RuntimeError) as exc:
        raise ConfigError(
            f"llama-cpp-python cannot be loaded: {exc}",
            hint="reinstall it: " + _INSTALL_HINT + " --force-reinstall --no-cache-dir",
        ) from exc
    found = getattr(library, "__version__", "unknown")
    if found != LLAMA_CPP_PYTHON_VERSION:
        raise ConfigError(
            f"llama-cpp-python {found!r} is installed; {LLAMA_CPP_PYTHON_VERSION!r} is needed",
            hint=f"pip install llama-cpp-python=={LLAMA_CPP_PYTHON_VERSION}",
        )
    return library


def _route_log(library: ModuleType) -> None:
    """Send llama.cpp's log to `edge_llm.llama_cpp`; silent unless the application listens."""
    global _callback
    # With no handler at all Python would print to stderr by itself.
    _logger.addHandler(logging.NullHandler())
    _callback = library.llama_log_callback(LogLines(_logger))
    library.llama_log_set(_callback, ctypes.c_void_p(0))


class LogLines:
    """Turns ggml's log fragments into whole lines; each thread has its own unfinished line."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._pending = threading.local()

    def __call__(self, level: int, text: bytes | None, _user_data: object) -> None:
        """Take one fragment; called from C, so nothing here may raise."""
        previous: tuple[int, str] = getattr(self._pending, "line", (logging.DEBUG, ""))
        if level == _CONTINUES:
            mapped = previous[0]
        else:
            mapped = _LOG_LEVELS.get(level, logging.DEBUG)
            if previous[1]:
                self._write(*previous)
            previous = (mapped, "")
        *lines, rest = (previous[1] + (text or b"").decode("utf-8", "replace")).split("\n")
        for line in lines:
            self._write(mapped, line)
        self._pending.line = (mapped, rest)

    def _write(self, level: int, line: str) -> None:
        if line.strip(" ."):  # progress is drawn with dots
            self._logger.log(level, "%s", line.rstrip())
