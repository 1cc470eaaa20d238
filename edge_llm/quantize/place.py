"""New model folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_llm.device.memory import describe_bytes
from edge_llm.errors import ConfigError

SPARE_BYTES = 64 << 20
"""Left free beside what is written."""


def check_target(target: Path, *, replace: bool) -> None:
    """Return when a folder may be written to `target`.

    Raises:
        ConfigError: it is there and `replace` is not set, or it holds something else.
    """
    if not target.exists():
        return
    if not target.is_dir() or target.is_symlink():
        raise ConfigError(f"{str(target)!r} is no folder", hint="choose another name")
    if not replace:
        raise ConfigError(
            f"{str(target)!r} is there already", hint="choose another folder, or pass --replace"
        )
    if any(target.iterdir()) and not any(target.glob("*.onnx")):
        # A slip of the hand must not cost a folder of something else.
        raise ConfigError(f"{str(target)!r} holds no ONNX model, so it is not replaced")


@contextmanager
def scratch_folder(target: Path, num_bytes: int) -> Iterator[Path]:
    """A folder beside the target, gone afterwards unless it was renamed.

    Raises:
        ConfigError: there is no room on the disk, or no right to write.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if free < num_bytes + SPARE_BYTES:
            raise ConfigError(
                f"{str(target.parent)!r} has {describe_bytes(free)} left, and"
                f" {describe_bytes(num_bytes + SPARE_BYTES)} may be needed",
                hint="free some space, or write to another disk",
            )
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as exc:
        raise ConfigError(f"cannot write beside {str(target)!r}: {exc}") from exc
    try:
        yield scratch
    except OSError as exc:
        raise ConfigError(f"writing {str(target)!r} failed: {exc}") from exc
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def put_in_place(scratch: Path, target: Path) -> None:
    """Rename the finished folder; what was there stays beside it until that has worked."""
    scratch.chmod(0o755)
    if not target.exists():
        scratch.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    target.rename(old)
    try:
        scratch.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
