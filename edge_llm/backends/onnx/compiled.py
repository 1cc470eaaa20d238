"""Graphs as a provider compiled them, kept on disk: compiling for an NPU takes minutes.

A folder for each: `model.onnx` with what was compiled (EP context), and `manifest.json`, which says
what ran where and proves that the files are whole. It appears whole, by rename, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from edge_llm.backends.onnx.compiled_store import FORMAT, MANIFEST, MODEL
from edge_llm.backends.onnx.native import SessionSettings, open_session
from edge_llm.backends.onnx.placement import Assignment, read_assignment
from edge_llm.errors import EdgeLLMError

logger = logging.getLogger(__name__)

MAX_FOLDERS = 8
"""Kept at most; the one that was used longest ago goes first."""
_BLOCK = 1 << 20


class OpenedSession(NamedTuple):
    """A session, and the operators that each provider runs in it."""

    session: Any
    assignment: Assignment


def compiled_key(facts: Mapping[str, Any]) -> str:
    """A name for what is compiled from these facts: model, provider, options, versions, sizes."""
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def open_compiled(path: Path, settings: SessionSettings, folder: Path, key: str) -> OpenedSession:
    """A session on a graph: on what was compiled of it before, or else compiled and kept.

    Raises:
        EdgeLLMError: see `open_session`.
    """
    found = _reopen(folder / key, settings)
    if found is not None:
        return found
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=folder))
    except OSError as exc:
        logger.info("what is compiled is not kept: %s", exc)
        session = open_session(path, settings)
        return OpenedSession(session, read_assignment(session))
    try:
        entries = {
            **settings.entries,
            "ep.context_enable": "1",
            "ep.context_embed_mode": "0",
            "ep.context_file_path": str(temporary / MODEL),
        }
        session = open_session(path, replace(settings, entries=entries))
        assignment = read_assignment(session)
        about = {"model": f"{path.parent.name}/{path.name}", "provider": settings.provider}
        _keep(temporary, folder / key, assignment, about)
        return OpenedSession(session, assignment)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _reopen(folder: Path, settings: SessionSettings) -> OpenedSession | None:
    """What was kept in a folder; None where that is nothing, or nothing whole."""
    assignment = _read_manifest(folder)
    if assignment is None:
        return None
    try:
        session = open_session(folder / MODEL, replace(settings, fixed={}))
    except EdgeLLMError as exc:
        logger.info("what was compiled is of no use any more: %s", exc)
        return None
    now = read_assignment(session)
    # Compiled nodes became one; the others are to be what they were.
    for provider, ops in assignment.items():
        if provider != settings.provider and now.get(provider, Counter()) != ops:
            return None
    with suppress(OSError):
        os.utime(folder)
    return OpenedSession(session, assignment)


def _keep(temporary: Path, folder: Path, assignment: Assignment, about: Mapping[str, str]) -> None:
    """Give what was compiled its name; a provider that wrote nothing is none that compiles."""
    files = [path for path in temporary.iterdir() if path.is_file()]
    if not (temporary / MODEL).is_file():
        logger.debug("the provider wrote nothing that it could load again")
        return
    manifest = {
        "format": FORMAT,
        **about,
        "files": {path.name: _digest(path) for path in files},
        "assignment": {provider: dict(ops) for provider, ops in assignment.items()},
    }
    try:
        for path in files:
            _sync(path)
        (temporary / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        _sync(temporary / MANIFEST)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        _remove_oldest(folder.parent)
    except OSError as exc:
        logger.info("what was compiled is not kept: %s", exc)


def _read_manifest(folder: Path) -> Assignment | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or MODEL not in manifest["files"]:
            return None
        for name, digest in manifest["files"].items():
            if Path(name).name != name or _digest(folder / name) != digest:
                logger.info("what was compiled is damaged: %s", folder / name)
                return None
        return {
            str(provider): Counter({str(op): int(count) for op, count in ops.items()})
            for provider, ops in manifest["assignment"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _remove_oldest(folder: Path) -> None:
    kept: Sequence[Path] = [p for p in folder.iterdir() if (p / MANIFEST).is_file()]
    for path in sorted(kept, key=lambda p: p.stat().st_mtime)[:-MAX_FOLDERS]:
        shutil.rmtree(path, ignore_errors=True)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
