"""Fetching a planned model into the shared cache, so that it is loadable at once or not at all."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Protocol

from edge_llm.device.memory import describe_bytes
from edge_llm.errors import ModelStoreError
from edge_llm.hub.cache_layout import RepoFolder
from edge_llm.hub.client import HubClient, RemoteFile
from edge_llm.hub.pull_plan import PullPlan
from edge_llm.hub.transfer import fetch_blob, has_size, store_errors, sync_folder

SPARE_BYTES = 64 << 20
"""Left free on the disk, for everything else that runs."""


class PullListener(Protocol):
    """Told how far a pull is."""

    def on_bytes(self, file: RemoteFile, num_bytes: int) -> None:
        """So many bytes of a file are here now."""
        ...


def pull(client: HubClient, plan: PullPlan, listener: PullListener) -> Path:
    """Fetch what is missing and return the path of the model.

    Files get their names in the cache when all contents are there, the entry last, and the branch
    is set after that: whatever ends this earlier, nothing can be loaded that is not whole.

    Raises:
        ModelStoreError: the disk is too full, or cannot be written.
        ModelDownloadError: something does not come; running it again goes on from there.
    """
    _require_space(plan)
    blobs = {}
    for file in plan.files:

        def on_bytes(num_bytes: int, file: RemoteFile = file) -> None:
            listener.on_bytes(file, num_bytes)

        if has_size(plan.folder.snapshot(plan.repo.commit) / file.path, file.num_bytes):
            on_bytes(file.num_bytes)
        else:
            blobs[file.path] = fetch_blob(client, plan.repo, file, plan.folder, on_bytes)
    if blobs or plan.folder.commit_of(plan.repo.revision) != plan.repo.commit:
        with store_errors(plan.folder.path):
            _keep_promises(plan)
            for path, blob in blobs.items():
                link_file(plan.folder, plan.repo.commit, path, blob)
            write_ref(plan.folder, plan.repo.revision, plan.repo.commit)
    return plan.path


def link_file(folder: RepoFolder, commit: str, name: str, blob: Path) -> None:
    """Give the content `blob` its name in a commit; a file where the disk knows no links.

    Raises:
        ModelStoreError: a folder on the way leads out of the cache.
        OSError: the disk refuses.
    """
    root = folder.snapshot(commit)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.resolve().is_relative_to(root.parent.resolve()):
        raise ModelStoreError(
            f"{str(path.parent)!r} leads out of the cache",
            hint="somebody put a link there: remove it and run the same command again",
        )
    target = os.path.relpath(blob, path.parent)
    if path.is_symlink() and os.readlink(path) == target:
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        try:
            temporary.symlink_to(target)
        except OSError:  # FAT and the like know no links: the content itself takes the name
            os.replace(blob, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_ref(folder: RepoFolder, revision: str | None, commit: str) -> None:
    """Let a branch or tag name `commit` from now on.

    Raises:
        OSError: the disk refuses.
    """
    if revision == commit:
        return
    _write_text(folder.ref_path(revision), commit)


def keep_promises(folder: RepoFolder, commit: str, hashes: dict[str, str]) -> None:
    """Remember what the hub promised of a commit's files, for `verify`.

    Raises:
        OSError: the disk refuses.
    """
    known = folder.promised(commit) if folder.promised_path(commit).is_file() else {}
    record = {"format": 1, "files": dict(sorted((known | hashes).items()))}
    _write_text(folder.promised_path(commit), json.dumps(record, indent=1))


def _keep_promises(plan: PullPlan) -> None:
    hashes = {file.path: file.etag for file in plan.files}
    keep_promises(plan.folder, plan.repo.commit, hashes)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _require_space(plan: PullPlan) -> None:
    place = plan.folder.path
    with store_errors(place):
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
    if plan.missing_bytes and plan.missing_bytes + SPARE_BYTES > free:
        raise ModelStoreError(
            f"{plan.variant.label} needs {describe_bytes(plan.missing_bytes)} more on the disk of"
            f" {str(place)!r}, where {describe_bytes(free)} are free",
            hint="remove models with 'edge-llm models rm', or set HF_HOME to a larger disk",
        )
