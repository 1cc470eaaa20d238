"""What a user calls a model, as a value. Only the text is read: no disk, no network, no catalogue.

```
builtin  builtin:gguf  builtin:onnx             the model that ships with the package
model.gguf  ./folder  ~/models/qwen             a path
hf:owner/repo[@revision][:quant-or-file]        a repository on the hub
owner/repo:Q4_K_M                               the same, as Ollama and llama.cpp users type it
hf.co/owner/repo:Q4_K_M                         the same, as Ollama's users do
https://huggingface.co/owner/repo/blob/main/f   the same, as copied from a browser
qwen3-0.6b  qwen3-0.6b:Q8_0  qwen3-0.6b:onnx    a name in models/registry.toml
ollama:qwen3:0.6b  lmstudio:owner/repo/f.gguf   a model imported from another program's store
```
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from edge_llm.config import BUILTIN_MODEL
from edge_llm.errors import ModelReferenceError
from edge_llm.hub.foreign import foreign_name, is_foreign

ReferenceKind: TypeAlias = Literal["builtin", "path", "hub", "catalogue", "import"]

HUB_PREFIX = "hf:"
DEFAULT_REVISION = "main"
HUB_HOSTS = ("huggingface.co", "hf.co")
FILE_SUFFIXES = (".gguf", ".onnx")

_URL_PREFIXES = tuple(f"{scheme}{host}/" for host in HUB_HOSTS for scheme in ("https://", ""))
_HUB = re.compile(r"(?P<repo>[^@:]+)(?:@(?P<revision>[^:]+))?(?::(?P<selector>.*))?", re.DOTALL)
_BARE_HUB = re.compile(r"[\w.-]+/[\w.-]+(?:[@:].*)?", re.ASCII)
_REPO_PART = re.compile(r"\w(?:[\w.-]*\w)?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_QUANT = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
MAX_REPO_LENGTH = 96
"""Source: huggingface_hub 2.4.0, utils/_validators.py, read 2026-11-22."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model as it was asked for; whether there is one is for others to find out."""

    text: str
    """What was typed."""
    kind: ReferenceKind
    name: str
    """`builtin`, a path, `owner/repo` on the hub, a catalogue name, or that of an import."""
    revision: str | None = None
    """A branch, tag or commit on the hub; None is its main branch."""
    quant: str | None = None
    """What follows the colon and is no file: `Q4_K_M`, `q4f16`, `gguf`; None leaves the choice."""
    file: str | None = None
    """One file, or the folder of one model, within the repository; with `/` between folders."""

    def __str__(self) -> str:
        if self.kind != "hub":
            return self.name if self.quant is None else f"{self.name}:{self.quant}"
        revision = f"@{self.revision}" if self.revision else ""
        selector = self.file or self.quant
        return f"{HUB_PREFIX}{self.name}{revision}{f':{selector}' if selector else ''}"

    @property
    def pull_command(self) -> str:
        """The command that fetches it, ready to be pasted into a shell."""
        return f"edge-llm pull {shlex.quote(self.text)}"


def parse_reference(text: str) -> ModelReference:
    """What `text` means by its form alone; a path that exists goes before any other meaning.

    Raises:
        ModelReferenceError: it has the form of none, or one that could leave its repository.
    """
    if not text.strip() or any(ord(c) < 0x20 for c in text):
        raise _wrong(text, "it is empty or has control characters")
    name, _, kind = text.partition(":")
    if name == BUILTIN_MODEL:
        return ModelReference(text, "builtin", name, quant=kind or None)
    if is_foreign(text):
        return ModelReference(text, "import", foreign_name(text))
    for prefix in _URL_PREFIXES:
        if text.startswith(prefix):
            return _from_url(text, text.removeprefix(prefix))
    if text.startswith(HUB_PREFIX):
        return _from_hub(text, text.removeprefix(HUB_PREFIX))
    is_hub = _BARE_HUB.fullmatch(text) is not None
    if is_hub and ":" in text:
        return _from_hub(text, text)
    if _is_path(text):
        return ModelReference(text, "path", text)
    if is_hub:
        return _from_hub(text, text)
    return _from_catalogue(text, name, kind)


def checked_repo_path(path: str, text: str) -> str:
    """`path`, the name of a file or folder within a repository.

    Raises:
        ModelReferenceError: it could lead out of the folder that it is written to.
    """
    parts = path.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or "\\" in path
        or ":" in path
        or any(ord(c) < 0x20 for c in path)
    ):
        raise _wrong(text, f"{path!r} is no name of a file in a repository")
    return path


def _is_path(text: str) -> bool:
    """Whether it can only be a path: owner/repo has one slash and no such beginning or end."""
    if text.startswith(("/", "~", "./", "../", ".\\", "..\\")) or text in (".", ".."):
        return True
    return text.lower().endswith(FILE_SUFFIXES) or text.count("/") > 1 or "\\" in text


def _from_hub(text: str, rest: str) -> ModelReference:
    match = _HUB.fullmatch(rest)
    if match is None:
        raise _wrong(text, "it should read hf:owner/repo[@revision][:quant-or-file]")
    repo, revision = _repo(match["repo"], text), _revision(match["revision"], text)
    selector = match["selector"]
    if selector in (None, "", "latest"):
        return ModelReference(text, "hub", repo, revision)
    quant, file = _split_selector(selector, text)
    return ModelReference(text, "hub", repo, revision, quant, file)


def _revision(revision: str | None, text: str) -> str | None:
    """A branch is a file in the cache, under its own name."""
    if revision is None or revision == DEFAULT_REVISION:
        return None
    return checked_repo_path(revision, text)


def _split_selector(selector: str, text: str) -> tuple[str | None, str | None]:
    if "/" in selector or selector.lower().endswith(FILE_SUFFIXES):
        return None, checked_repo_path(selector.rstrip("/"), text)
    if not _QUANT.fullmatch(selector):
        raise _wrong(text, f"{selector!r} is neither a quantisation nor a file")
    return selector, None


def _repo(repo: str, text: str) -> str:
    """Source: huggingface_hub 2.4.0, utils/_validators.py (validate_repo_id)."""
    parts = repo.split("/")
    is_name = len(parts) == 2 and all(_REPO_PART.fullmatch(part) for part in parts)
    if not is_name or len(repo) > MAX_REPO_LENGTH or "--" in repo or ".." in repo:
        raise _wrong(text, f"{repo!r} is no owner/repo on the hub")
    return repo


def _from_url(text: str, rest: str) -> ModelReference:
    """`owner/repo`, `owner/repo:quant`, or with `/blob|resolve|raw|tree/revision/file` behind."""
    path = unquote(urlsplit(rest).path) if "://" in text else rest
    parts = path.strip("/").split("/")
    if len(parts) <= 2:
        return _from_hub(text, "/".join(parts))
    if parts[2] not in ("blob", "resolve", "raw", "tree") or len(parts) < 4:
        raise _wrong(text, "it is no address of a model or of a file in one")
    file = "/".join(parts[4:]) or None
    return ModelReference(
        text,
        "hub",
        _repo("/".join(parts[:2]), text),
        _revision(parts[3], text),
        file=None if file is None else checked_repo_path(file, text),
    )


def _from_catalogue(text: str, name: str, kind: str) -> ModelReference:
    if not _NAME.fullmatch(name) or (kind and not _QUANT.fullmatch(kind)):
        raise _wrong(text, "it is neither a path, owner/repo, nor a catalogue name")
    return ModelReference(
        text, "catalogue", name.lower(), quant=None if kind in ("", "latest") else kind
    )


def _wrong(text: str, problem: str) -> ModelReferenceError:
    return ModelReferenceError(
        f"{text!r} names no model: {problem}",
        hint="a path, 'builtin', a name such as 'qwen3-0.6b', or hf:owner/repo[@revision][:quant]",
    )
