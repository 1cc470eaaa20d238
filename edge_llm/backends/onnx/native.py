"""The one door to onnxruntime: imports it once with its telemetry off, opens sessions, maps errors.

Everything that runs a graph takes its session from `open_session`; nothing else imports the
library.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_llm.device.cpu import is_busy
from edge_llm.errors import (
    BackendError,
    ConfigError,
    InsufficientMemoryError,
    ModelFormatError,
    UnsupportedModelError,
)

TELEMETRY_SWITCH = "ORT_DISABLE_TELEMETRY"
"""Read when the library is loaded; what it offers as a call leaves a device id behind.

Source: onnxruntime Privacy.md, and the files that 1.31.1 writes without it.
"""

REFUSED_VERSIONS = frozenset(("1.21.0",))
"""Ends in an illegal instruction on a Raspberry Pi 4."""

_FATAL = 4
"""Log level at which it is silent: what matters comes as an exception, with the same words."""
_INSTALL_HINT = "pip install 'onnxruntime>=1.22'"

_lock = threading.Lock()
_library: ModuleType | None = None
_errors: tuple[type[Exception], ...] = (RuntimeError, ValueError, TypeError)


def load_library() -> ModuleType:
    """The `onnxruntime` module, imported on the first call; safe to call from any thread.

    Raises:
        ConfigError: it is not installed, cannot be loaded, or is a version that does not work.
    """
    global _library, _errors
    with _lock:
        if _library is None:
            _library = _import_library()
            _errors = (*_errors, *_exception_classes())
        return _library


def _import_library() -> ModuleType:
    # Not a default: whoever uses this runtime never agreed to it.
    os.environ[TELEMETRY_SWITCH] = "1"
    try:
        import onnxruntime
    except ModuleNotFoundError as exc:
        raise ConfigError("onnxruntime is not installed", hint=_INSTALL_HINT) from exc
    except (ImportError, OSError) as exc:
        raise ConfigError(f"onnxruntime cannot be loaded: {exc}", hint=_INSTALL_HINT) from exc
    library: ModuleType = onnxruntime
    version = getattr(library, "__version__", "unknown")
    if version in REFUSED_VERSIONS:
        raise ConfigError(f"onnxruntime {version} does not work", hint=_INSTALL_HINT)
    library.set_default_logger_severity(_FATAL)
    return library


def _exception_classes() -> tuple[type[Exception], ...]:
    """Everything that the library raises: classes without a common ancestor of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    values = (getattr(state, name) for name in dir(state))
    return tuple(v for v in values if isinstance(v, type) and issubclass(v, Exception))


def open_session(path: Path, threads: int) -> Any:
    """A session on the CPU with `threads` compute threads.

    Raises:
        UnsupportedModelError: an operator or a type that this onnxruntime does not have.
        InsufficientMemoryError: the weights do not fit.
        ModelFormatError: it refuses the file for another reason.
    """
    library = load_library()
    try:
        return library.InferenceSession(
            os.fspath(path), _options(library, threads), providers=["CPUExecutionProvider"]
        )
    except _errors as exc:
        raise _refusal(path, exc) from exc


def _options(library: ModuleType, threads: int) -> Any:
    options = library.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = library.ExecutionMode.ORT_SEQUENTIAL
    # Lengths change with every step, so a remembered pattern is never met again.
    options.enable_mem_pattern = False
    if threads > 1 and is_busy():
        # A thread that spins for work keeps whoever else wants the processor from it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _refusal(path: Path, exc: Exception) -> ModelFormatError | InsufficientMemoryError:
    kind, reason = type(exc).__name__, first_line(exc)
    if "bad_alloc" in reason or "llocate memory" in reason:
        return InsufficientMemoryError(
            f"{path.name!r} does not fit in memory: {reason}", hint="take a smaller quantisation"
        )
    if kind == "NotImplemented" or "is not a registered function" in reason:
        return UnsupportedModelError(
            f"{path.name!r} cannot be run by this onnxruntime: {reason}",
            hint="a newer onnxruntime or another export of the model may work",
        )
    return ModelFormatError(
        f"onnxruntime refuses {path.name!r}: {reason}",
        hint="the file is damaged or badly converted: download it again or take another one",
    )


@contextmanager
def native_errors() -> Iterator[None]:
    """What the library raises while a model runs, as `BackendError`."""
    try:
        yield
    except _errors as exc:
        raise BackendError(f"onnxruntime failed: {first_line(exc)}") from exc


def first_line(exc: Exception) -> str:
    """What an error of the library says, without the file names of its makers."""
    text = str(exc).strip().partition("\n")[0]
    return text[:500] or type(exc).__name__
