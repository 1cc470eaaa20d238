"""What can be done with pulled models: hashed again, removed, carried to another machine."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from edge_llm.device.memory import describe_bytes
from edge_llm.errors import (
    ModelError,
    ModelFormatError,
    ModelIntegrityError,
    ModelNotFoundError,
    ModelStoreError,
)
from edge_llm.hub.cache_layout import PARTIAL_SUFFIX, RepoFolder, repo_folder
from edge_llm.hub.client import lock_file
from edge_llm.hub.installed import InstalledModel, installed_models
from edge_llm.hub.pull import SPARE_BYTES, keep_promises, link_file, write_ref
from edge_llm.hub.reference import checked_repo_path, parse_reference
from edge_llm.hub.transfer import content_hash, has_size, hash_file, store_errors, sync_folder

MANIFEST = "edge-llm-model.json"
MAX_MANIFEST_BYTES = 1 << 20
_BLOCK_BYTES = 4 << 20
_WEIGHTS = (".gguf", ".onnx", ".safetensors", ".bin", ".pt", ".h5", ".msgpack")

OnProgress = Callable[[str, int, int], None]
"""Told a file, the bytes of it that are done, and all of them."""

FileState: TypeAlias = Literal["whole", "damaged", "unknown"]


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What hashing one file again has shown; "unknown" where nobody promised a hash."""

    path: str
    num_bytes: int
    state: FileState


def verify_model(model: InstalledModel, on_progress: OnProgress) -> list[FileCheck]:
    """Every file of a model, hashed again and compared with what the hub promised.

    Raises:
        ModelStoreError: a file cannot be read.
        ModelFormatError: the promises cannot be.
    """
    return [_check(model, name, on_progress) for name in model.variant.files]


def remove_model(model: InstalledModel) -> int:
    """Remove a model's files, those of other models excepted; bytes that were freed.

    Raises:
        ModelStoreError: the cache cannot be written.
    """
    folder, snapshot = model.folder, model.folder.snapshot(model.commit)
    with store_errors(folder.path):
        before = _content_bytes(folder)
        kept = _needed_by_others(model)
        contents = set()
        for path in (snapshot / name for name in model.variant.files if name not in kept):
            contents.add(_content_of(path))
            path.unlink(missing_ok=True)
        if not any(name.endswith(_WEIGHTS) for name in folder.files(model.commit)):
            contents |= {_content_of(snapshot / name) for name in folder.files(model.commit)}
            shutil.rmtree(snapshot)
            folder.promised_path(model.commit).unlink(missing_ok=True)
            for revision in folder.revisions(model.commit):
                folder.ref_path(revision).unlink()
        for content in contents - _named_contents(folder):
            content.unlink(missing_ok=True)
        _remove_if_empty(folder)
    return before - _content_bytes(folder)


def remove_partials(repo: str) -> int:
    """Remove what arrived of a repository's files in part; bytes that were freed.

    Raises:
        ModelStoreError: the cache cannot be written.
    """
    folder = repo_folder(repo)
    freed = 0
    with store_errors(folder.path):
        for path in folder.blobs.glob(f"*{PARTIAL_SUFFIX}"):
            freed += path.stat().st_size
            path.unlink()
        _remove_if_empty(folder)
    return freed


def export_model(model: InstalledModel, target: Path, on_progress: OnProgress) -> int:
    """Copy a model to a new folder, hashed on the way; bytes that were written.

    Raises:
        ModelStoreError: the folder is there already, or cannot be written.
        ModelIntegrityError: a file is damaged; nothing is left behind.
    """
    if target.exists():
        raise ModelStoreError(f"{str(target)!r} is there already", hint="name a new folder")
    promised = model.folder.promised(model.commit)
    partial = target.with_name(f".{target.name}{PARTIAL_SUFFIX}")
    with store_errors(target):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _require_space(partial, model.num_bytes)
    try:
        with store_errors(target):
            hashes = {}
            for name in model.variant.files:
                source = model.folder.snapshot(model.commit) / name
                expected = promised.get(name) or _name_of_content(source)
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                hashes[name] = _copy(source, partial / name, expected, name, on_progress)
            _write_manifest(partial, model, hashes)
            os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return model.num_bytes


def import_folder(source: Path, on_progress: OnProgress) -> InstalledModel:
    """Take a folder that `export_model` made into the cache, every file checked.

    Raises:
        ModelNotFoundError: it is no such folder.
        ModelFormatError: what describes it is damaged, or names what lies outside of it.
        ModelIntegrityError: a file is not the one that was exported.
        ModelStoreError: the cache cannot be written.
    """
    record = _read_manifest(source)
    folder = repo_folder(record.repo)
    with store_errors(folder.path):
        folder.blobs.mkdir(parents=True, exist_ok=True)
        _require_space(folder.path, sum(size for size, _ in record.files.values()))
    for name, (size, digest) in record.files.items():
        path = _inside(source, name)
        with store_errors(folder.path):
            lock = folder.lock_path(digest)
            lock.parent.mkdir(parents=True, exist_ok=True)
            with lock_file(lock):
                if not has_size(folder.blobs / digest, size):
                    partial = folder.partial(digest)
                    _copy(path, partial, digest, name, on_progress)
                    os.replace(partial, folder.blobs / digest)
                    sync_folder(folder.blobs)
    with store_errors(folder.path):
        keep_promises(folder, record.commit, {n: d for n, (_, d) in record.files.items()})
        for name, (_, digest) in record.files.items():
            link_file(folder, record.commit, name, folder.blobs / digest)
        if folder.commit_of(None) is None:
            write_ref(folder, None, record.commit)
    return next(
        model
        for model in installed_models()
        if (model.folder.name, model.commit) == (record.repo, record.commit)
        and model.variant.entry == record.entry
    )


@dataclass(frozen=True, slots=True)
class _Manifest:
    repo: str
    commit: str
    entry: str
    files: Mapping[str, tuple[int, str]]
    """Size in bytes and hash by name, the entry last."""


def _check(model: InstalledModel, name: str, on_progress: OnProgress) -> FileCheck:
    path = model.folder.snapshot(model.commit) / name
    promised = model.folder.promised(model.commit).get(name) or _name_of_content(path)
    with store_errors(model.folder.path):
        size = path.stat().st_size
        if promised is None:
            return FileCheck(name, size, "unknown")
        found = hash_file(path, promised, lambda done: on_progress(name, done, size))
    return FileCheck(name, size, "whole" if found == promised else "damaged")


def _name_of_content(path: Path) -> str | None:
    """The hash that a blob is named after, for a link into the blobs of a cache."""
    if not path.is_symlink():
        return None
    name = Path(os.readlink(path)).name
    return name if len(name) in (40, 64) and set(name) <= set("0123456789abcdef") else None


def _needed_by_others(model: InstalledModel) -> set[str]:
    return {
        name
        for other in installed_models(model.folder.path.parent)
        if (other.folder.path, other.commit) == (model.folder.path, model.commit)
        and other.variant.entry != model.variant.entry
        for name in other.variant.files
    }


def _content_of(path: Path) -> Path:
    """The file that a name in a commit stands for: itself, or what it links to."""
    if not path.is_symlink():
        return path
    return Path(os.path.normpath(path.parent / os.readlink(path)))


def _named_contents(folder: RepoFolder) -> set[Path]:
    return {_content_of(path) for path in (folder.path / "snapshots").rglob("*")}


def _remove_if_empty(folder: RepoFolder) -> None:
    """Remove the folder of a repository of which nothing is here, and nothing arrives."""
    has_contents = folder.blobs.is_dir() and any(folder.blobs.iterdir())
    if folder.path.is_dir() and not folder.commits() and not has_contents:
        shutil.rmtree(folder.path)


def _content_bytes(folder: RepoFolder) -> int:
    files = [*folder.blobs.glob("*"), *(folder.path / "snapshots").rglob("*")]
    return sum(path.lstat().st_size for path in files if path.is_file() and not path.is_symlink())


def _copy(
    source: Path, target: Path, expected: str | None, name: str, on_progress: OnProgress
) -> str:
    """Copy a file and return its hash, which is the expected one; the copy is on the disk."""
    size = source.stat().st_size
    digest = content_hash(expected or "0" * 64, size)
    done = 0
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(_BLOCK_BYTES):
            digest.update(block)
            writer.write(block)
            done += len(block)
            on_progress(name, done, size)
        writer.flush()
        os.fsync(writer.fileno())
    if expected is not None and digest.hexdigest() != expected:
        target.unlink()
        raise ModelIntegrityError(
            f"{str(source)!r} is damaged: its hash is {digest.hexdigest()}, not {expected}",
            hint="pull it again where there is a network, and export it anew",
        )
    return digest.hexdigest()


def _write_manifest(target: Path, model: InstalledModel, hashes: Mapping[str, str]) -> None:
    record = {
        "format": 1,
        "repo": model.folder.name,
        "commit": model.commit,
        "entry": model.variant.entry,
        "files": {
            name: {"bytes": (target / name).stat().st_size, "hash": digest}
            for name, digest in hashes.items()
        },
    }
    (target / MANIFEST).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _read_manifest(source: Path) -> _Manifest:
    path = source / MANIFEST
    if not path.is_file():
        raise ModelNotFoundError(
            f"{str(source)!r} is no exported model: it has no {MANIFEST}",
            hint="make one with 'edge-llm models export REF DIR'",
        )
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ValueError("it is too large")
        record = json.loads(path.read_text(encoding="utf-8"))
        return _parse_manifest(record)
    except ModelError as exc:
        raise ModelFormatError(f"{str(path)!r}: {exc.message}", hint="export it anew") from exc
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelFormatError(f"{str(path)!r} is damaged: {exc}", hint="export it anew") from exc


def _parse_manifest(record: Any) -> _Manifest:
    if record["format"] != 1:
        raise ValueError(f"format {record['format']!r} is of a newer version")
    repo = parse_reference(f"hf:{record['repo']}").name
    files = {}
    for name, facts in record["files"].items():
        digest, size = str(facts["hash"]), facts["bytes"]
        if len(digest) not in (40, 64) or not set(digest) <= set("0123456789abcdef"):
            raise ValueError(f"{name!r} has no hash")
        if not isinstance(size, int) or size < 0:
            raise ValueError(f"{name!r} has no size")
        files[checked_repo_path(name, name)] = (size, digest)
    commit, entry = str(record["commit"]), str(record["entry"])
    if len(commit) != 40 or not set(commit) <= set("0123456789abcdef") or entry not in files:
        raise ValueError("it names no commit, or no model")
    ordered = {name: files[name] for name in sorted(files, key=lambda name: name == entry)}
    return _Manifest(repo, commit, entry, ordered)


def _inside(source: Path, name: str) -> Path:
    """A file of an exported folder, which is a file and lies in it."""
    path = source / name
    parts: Iterator[Path] = (
        source.joinpath(*Path(name).parts[: i + 1]) for i in range(name.count("/") + 1)
    )
    if any(part.is_symlink() for part in parts):
        raise ModelFormatError(
            f"{str(path)!r} is a link, and may lead anywhere", hint="copy the files themselves"
        )
    if not path.is_file():
        raise ModelFormatError(f"{str(path)!r} is missing", hint="copy the whole folder")
    return path


def _require_space(place: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(place).free
    if num_bytes + SPARE_BYTES > free:
        raise ModelStoreError(
            f"{describe_bytes(num_bytes)} are needed on the disk of {str(place)!r}, where"
            f" {describe_bytes(free)} are free",
            hint="free some space, or take another disk",
        )
