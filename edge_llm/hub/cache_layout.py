"""Where the cache that all tools of the hub share keeps what: names only, no network.

```
<cache>/models--owner--repo/refs/main                     the commit that main named last
                            snapshots/<commit>/m.gguf     a link to the content
                            blobs/<sha256>                the content, under its own hash
                            edge-llm/<commit>.json        the hashes that the hub promised
```

Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache and huggingface_hub 2.4.0,
constants.py and file_download.py, read 2026-11-22. The last line is ours.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_llm.errors import ModelFormatError
from edge_llm.hub.reference import DEFAULT_REVISION

PARTIAL_SUFFIX = ".edge-llm-partial"
"""Of content that is still arriving; not the library's own, which it deletes."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def cache_root(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of the shared cache; it need not exist."""
    env = os.environ if environ is None else environ
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if env.get(name):
            return _expanded(env[name])
    if env.get("HF_HOME"):
        return _expanded(env["HF_HOME"]) / "hub"
    caches = _expanded(env.get("XDG_CACHE_HOME") or "~/.cache")
    return caches / "huggingface" / "hub"


def _expanded(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()


@dataclass(frozen=True, slots=True)
class RepoFolder:
    """What the cache has of one repository."""

    path: Path
    name: str
    """`owner/repo`."""

    @property
    def blobs(self) -> Path:
        """Contents by hash."""
        return self.path / "blobs"

    def snapshot(self, commit: str) -> Path:
        """Files of one commit, under their own names."""
        return self.path / "snapshots" / commit

    def lock_path(self, etag: str) -> Path:
        """The lock that every tool takes to fetch one content."""
        return self.path.parent / ".locks" / self.path.name / f"{etag}.lock"

    def partial(self, etag: str) -> Path:
        """Where a content arrives."""
        return self.blobs / f"{etag}{PARTIAL_SUFFIX}"

    def ref_path(self, revision: str | None) -> Path:
        """The file that says which commit a branch or tag named last."""
        return self.path / "refs" / (revision or DEFAULT_REVISION)

    def commit_of(self, revision: str | None) -> str | None:
        """The commit that a branch, tag or commit means here; None where it was never fetched."""
        if revision is not None and _COMMIT.fullmatch(revision):
            return revision if self.snapshot(revision).is_dir() else None
        try:
            commit = self.ref_path(revision).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return commit if _COMMIT.fullmatch(commit) else None

    def commits(self) -> list[str]:
        """Every commit of which there are files, the one fetched last first."""
        try:
            folders = [p for p in (self.path / "snapshots").iterdir() if _COMMIT.fullmatch(p.name)]
            return [p.name for p in sorted(folders, key=lambda p: (-p.stat().st_mtime, p.name))]
        except OSError:
            return []

    def files(self, commit: str) -> dict[str, int]:
        """Size in bytes of every file of a commit whose content is here, by path."""
        root = self.snapshot(commit)
        found = {}
        for path in sorted(root.rglob("*")):
            if path.is_file():
                found[path.relative_to(root).as_posix()] = path.stat().st_size
        return found

    def revisions(self, commit: str) -> list[str]:
        """Branches and tags that name a commit here."""
        refs = self.path / "refs"
        found = [p for p in refs.rglob("*") if p.is_file()] if refs.is_dir() else []
        names = [p.relative_to(refs).as_posix() for p in found]
        return sorted(name for name in names if self.commit_of(name) == commit)

    def promised_path(self, commit: str) -> Path:
        """The file of the hashes that the hub promised for a commit."""
        return self.path / "edge-llm" / f"{commit}.json"

    def promised(self, commit: str) -> dict[str, str]:
        """SHA-256, or git's SHA-1, of files of a commit, by path; empty where nobody kept them.

        Raises:
            ModelFormatError: they cannot be read.
        """
        path = self.promised_path(commit)
        if not path.is_file():
            return {}
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return {str(name): _require_hash(value) for name, value in record["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ModelFormatError(
                f"{str(path)!r} is damaged", hint="remove it and pull the model again"
            ) from exc


def _require_hash(value: object) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError(value)
    return value


def repo_folder(name: str, root: Path | None = None) -> RepoFolder:
    """The place of a repository; it need not exist."""
    return RepoFolder((root or cache_root()) / f"models--{name.replace('/', '--')}", name)


def repo_folders(root: Path | None = None) -> Iterator[RepoFolder]:
    """Every repository of models in the cache, by name."""
    root = root or cache_root()
    for path in sorted(root.glob("models--*--*")):
        if path.is_dir():
            yield RepoFolder(path, path.name.removeprefix("models--").replace("--", "/", 1))
