"""Stores that other programs keep models in: what is in them, read and never written."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_llm.errors import ModelNotFoundError, ModelReferenceError, did_you_mean

logger = logging.getLogger(__name__)

OLLAMA, LMSTUDIO = "ollama:", "lmstudio:"
FOREIGN_PREFIXES = (OLLAMA, LMSTUDIO)
"""How names of models in these stores begin, everywhere a model is named."""


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """One file of a model, as its store describes it."""

    path: Path
    num_bytes: int
    sha256: str | None = None
    """In hexadecimal; None where the store does not say."""


class ForeignStore(Protocol):
    """The models of one program."""

    prefix: str
    """What their names begin with: `ollama:`."""
    folder: Path

    def names(self) -> list[str]:
        """Every model that seems to be there, prefix included, sorted."""
        ...

    def files(self, name: str) -> list[ForeignFile]:
        """The files of one model, the one to load first.

        Raises:
            ModelNotFoundError: it is not in this store, or a file of it is missing.
            ModelFormatError: what describes it is damaged, or leads out of the store.
            UnsupportedModelError: it is none of GGUF files.
        """
        ...


def find_stores(
    environ: Mapping[str, str] = os.environ, home: Path | None = None
) -> list[ForeignStore]:
    """The stores of every known program that has one on this machine."""
    from edge_llm.hub.lmstudio_store import LMStudioStore, lmstudio_folders
    from edge_llm.hub.ollama_store import OllamaStore, ollama_folders

    home = Path.home() if home is None else home
    return [
        *(OllamaStore(folder) for folder in ollama_folders(environ, home)),
        *(LMStudioStore(folder) for folder in lmstudio_folders(home)),
    ]


def store_at(folder: Path) -> ForeignStore:
    """The store in a folder, of whichever program it looks like.

    Raises:
        ModelNotFoundError: it looks like none.
    """
    from edge_llm.hub.lmstudio_store import LMStudioStore
    from edge_llm.hub.ollama_store import OllamaStore

    if is_readable_folder(folder / "blobs"):
        return OllamaStore(folder)
    if is_readable_folder(folder):
        return LMStudioStore(folder)
    raise ModelNotFoundError(
        f"there is no folder {str(folder)!r}",
        hint="name one like ~/.ollama/models or ~/.lmstudio/models",
    )


def store_of(name: str, stores: Sequence[ForeignStore]) -> ForeignStore:
    """The first store that has a model of this name.

    Raises:
        ModelReferenceError: none has; names those that are near.
    """
    for store in stores:
        if name in store.names():
            return store
    known = [known for store in stores for known in store.names()]
    looked = ", ".join(str(store.folder) for store in stores) or "no store at all"
    raise ModelReferenceError(
        f"{name!r} names no model: it is not in {looked}",
        hint=did_you_mean(name, known) if known else "set OLLAMA_MODELS, or give --store FOLDER",
    )


def is_readable_folder(path: Path) -> bool:
    """Whether a folder is there and may be looked into; says so where it is there and may not."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
            return True
        return False
    except OSError as exc:
        logger.warning("models in %s are not seen: %s", path, exc.strerror or exc)
        return False


def is_foreign(name: str) -> bool:
    """Whether a name is one of a model in another program's store."""
    return name.startswith(FOREIGN_PREFIXES)


def foreign_name(text: str) -> str:
    """The whole name: Ollama's users leave out the tag `latest`."""
    if text.startswith(OLLAMA) and ":" not in text.removeprefix(OLLAMA).rpartition("/")[2]:
        return f"{text}:latest"
    return text
