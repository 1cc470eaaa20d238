"""Models that other programs keep, known here by name: where each lies, and how it is recognised.

Nothing is copied. For each name a small file in `imports/` of the user's data folder says where its
files are, how large and with which hash. Loading looks at size and time of change, and hashes again
only where the time is another; so a file that was moved, cut or replaced is never loaded unseen.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edge_llm.errors import (
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
    ModelStoreError,
    did_you_mean,
)
from edge_llm.hub.foreign import ForeignFile, ForeignStore
from edge_llm.hub.gguf import check_loadable, read_gguf
from edge_llm.hub.import_records import (
    ImportedFile,
    ImportedModel,
    cannot_write,
    list_imports,
    read_record,
    record_path,
    write_record,
)

logger = logging.getLogger(__name__)

_BLOCK = 4 << 20

OnProgress = Callable[[int, int], None]
"""Told the bytes hashed so far, and all of them."""


def import_model(
    name: str, store: ForeignStore, on_progress: OnProgress | None = None
) -> ImportedModel:
    """Check a model of another program's store and write down where it is.

    Raises:
        ModelError: it is missing, damaged, not what its store says, or nothing that can be run.
        ModelStoreError: it cannot be written down.
    """
    files = store.files(name)
    check_loadable(read_gguf(files[0].path))
    total = sum(file.num_bytes for file in files)
    done = 0
    imported = []
    for file in files:
        imported.append(_hashed(file, _shifted(on_progress, done, total)))
        done += file.num_bytes
    model = ImportedModel(name, tuple(imported))
    write_record(model)
    return model


def find_import(name: str) -> ImportedModel:
    """The model of that name, wherever its files are now.

    Raises:
        ModelNotFoundError: it was never imported.
        ModelFormatError: what was written down is damaged.
    """
    path = record_path(name)
    if not path.is_file():
        known = [model.name for model in list_imports() if isinstance(model, ImportedModel)]
        near = f"; or {did_you_mean(name, known)}" if known else ""
        raise ModelNotFoundError(
            f"{name!r} was not imported", hint=f"edge-llm models import {shlex.quote(name)}{near}"
        )
    return read_record(path)


def open_import(name: str) -> Path:
    """The file to load for `name`, which is the one that was imported.

    Raises:
        ModelNotFoundError: never imported, or moved away since.
        ModelIntegrityError: changed since.
        ModelFormatError: what was written down is damaged.
    """
    model = find_import(name)
    files = tuple(_verified(file, name) for file in model.files)
    if files != model.files:
        # Only for speed: the next load need not hash again.
        with suppress(ModelStoreError):
            write_record(replace(model, files=files))
    return model.path


def forget_import(name: str) -> None:
    """Forget where a model is; its files stay.

    Raises:
        ModelNotFoundError: it was never imported.
        ModelStoreError: the folder cannot be written.
    """
    find_import(name)
    try:
        record_path(name).unlink()
    except OSError as exc:
        raise cannot_write(exc) from exc


def verify_import(name: str, on_progress: OnProgress | None = None) -> ImportedModel:
    """Hash every file of a model again, whatever its time of change says.

    Raises:
        ModelError: as `open_import`.
    """
    model = find_import(name)
    done = 0
    for file in model.files:
        _check_there(file, name)
        digest = sha256_of(file.path, _shifted(on_progress, done, model.num_bytes))
        _require_same(file, digest, name)
        done += file.num_bytes
    return model


def sha256_of(path: Path, on_progress: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        ModelError: it cannot be read.
    """
    digest, done = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                done += len(block)
                if on_progress is not None:
                    on_progress(done)
    except OSError as exc:
        raise ModelError(f"cannot read {str(path)!r}: {exc.strerror or exc}") from exc
    return digest.hexdigest()


def _hashed(file: ForeignFile, on_progress: Callable[[int], None] | None) -> ImportedFile:
    path = file.path.absolute()
    before = path.stat()
    digest = sha256_of(path, on_progress)
    if file.sha256 is not None and digest != file.sha256:
        raise ModelIntegrityError(
            f"{str(path)!r} has the hash {digest}, and its store promises {file.sha256}",
            hint="it is damaged: fetch it again with the program that it belongs to",
        )
    return ImportedFile(path, before.st_size, digest, before.st_mtime_ns)


def _verified(file: ImportedFile, name: str) -> ImportedFile:
    """The file, which still is what was imported; with its new time of change."""
    modified_ns = _check_there(file, name)
    if modified_ns == file.modified_ns:
        return file
    logger.info("%s was touched since it was imported: hashing it again", file.path)
    _require_same(file, sha256_of(file.path), name)
    return replace(file, modified_ns=modified_ns)


def _check_there(file: ImportedFile, name: str) -> int:
    """When the file was changed last; it is there, and of the right size."""
    try:
        found = file.path.stat()
    except OSError as exc:
        quoted = shlex.quote(name)
        raise ModelNotFoundError(
            f"{str(file.path)!r} of {name!r} is gone: {exc.strerror or exc}",
            hint=f"edge-llm models import {quoted} finds it again, edge-llm models rm {quoted}"
            " forgets it",
        ) from exc
    if found.st_size != file.num_bytes:
        raise _changed(file, name, f"{found.st_size} bytes instead of {file.num_bytes}")
    return found.st_mtime_ns


def _require_same(file: ImportedFile, digest: str, name: str) -> None:
    if digest != file.sha256:
        raise _changed(file, name, f"the hash {digest[:12]}… instead of {file.sha256[:12]}…")


def _changed(file: ImportedFile, name: str, found: str) -> ModelIntegrityError:
    return ModelIntegrityError(
        f"{str(file.path)!r} of {name!r} changed since it was imported: it has {found}",
        hint=f"if you know why: edge-llm models import {shlex.quote(name)}",
    )


def _shifted(on_progress: OnProgress | None, done: int, total: int) -> Callable[[int], None] | None:
    if on_progress is None:
        return None
    return lambda count: on_progress(done + count, total)
