"""Models that were pulled, by this program or another: found on the disk alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_llm.errors import ModelNotInstalledError
from edge_llm.hub.cache_layout import RepoFolder, repo_folder, repo_folders
from edge_llm.hub.reference import HUB_PREFIX, ModelReference
from edge_llm.hub.variants import Variant, find_variants, matching, preferred

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """One quantisation of a model in the shared cache, every part of it there."""

    folder: RepoFolder
    commit: str
    variant: Variant

    @property
    def path(self) -> Path:
        """What is loaded: the first part of a GGUF model, or the graph of an ONNX model.

        A link, and left so: its other parts lie beside the link and not beside the content.
        """
        return self.folder.snapshot(self.commit) / self.variant.entry

    @property
    def name(self) -> str:
        """What answers are labelled with: `Qwen3-0.6B-Q8_0`, `Qwen3-0.6B-ONNX:q4`."""
        stem = PurePosixPath(self.variant.entry).stem
        if self.variant.kind == "gguf":
            return stem.removesuffix(f"-{_last_part(self.variant)}")
        owner, _, repo = self.folder.name.partition("/")
        return f"{repo or owner}:{self.variant.quant or stem}"

    @property
    def reference(self) -> str:
        """What to call it so that only this one is meant."""
        return f"{HUB_PREFIX}{self.folder.name}:{self.variant.label}"

    @property
    def num_bytes(self) -> int:
        """Of all its files."""
        return self.variant.num_bytes

    def file_paths(self) -> list[Path]:
        """All its files, the entry last."""
        return [self.folder.snapshot(self.commit) / name for name in self.variant.files]


def installed_models(root: Path | None = None) -> list[InstalledModel]:
    """Every complete model in the cache: by repository, the commit fetched last first."""
    return [model for folder in repo_folders(root) for model in _models_in(folder, None)]


def find_installed(
    reference: ModelReference, repo: str | None = None, root: Path | None = None
) -> InstalledModel:
    """The model that a reference to the hub means; of several quantisations the preferred one.

    `repo` is where a catalogue name is kept. A branch means the commit that it named when it was
    fetched; where that commit has no such model, an older one that has.

    Raises:
        ModelNotInstalledError: it is not here, or not all of it; names the command that fetches it.
    """
    folder = repo_folder(repo or reference.name, root)
    for commit in _commits(folder, reference.revision):
        found = list(_models_in(folder, commit))
        wanted = reference.file or reference.quant
        if wanted:
            by_variant = {id(model.variant): model for model in found}
            variants = matching([model.variant for model in found], wanted)
            found = [by_variant[id(variant)] for variant in variants]
        if found:
            return _preferred(found)
    raise not_installed(reference, folder)


def not_installed(reference: ModelReference, folder: RepoFolder) -> ModelNotInstalledError:
    """The error that says how to get a model, and which of its kind are here."""
    here = sorted({model.variant.label for model in _models_in(folder, None)})
    others = f"; here are {', '.join(here)}" if here else ""
    return ModelNotInstalledError(
        f"{reference.text!r} is not on this machine{others}", pull_command=reference.pull_command
    )


def _commits(folder: RepoFolder, revision: str | None) -> list[str]:
    named = folder.commit_of(revision)
    if revision is not None:
        return [named] if named else []
    return sorted(folder.commits(), key=lambda commit: commit != named)


def _models_in(folder: RepoFolder, commit: str | None) -> Iterator[InstalledModel]:
    for one in folder.commits() if commit is None else [commit]:
        for variant in find_variants(folder.files(one)):
            if variant.is_complete:
                yield InstalledModel(folder, one, variant)


def _preferred(models: list[InstalledModel]) -> InstalledModel:
    variants = preferred([model.variant for model in models])
    chosen = next(model for model in models if model.variant is variants[0])
    if len(models) > 1:
        labels = ", ".join(model.variant.label for model in models)
        logger.info("of %s in %s, %s is taken", labels, chosen.folder.name, chosen.variant.label)
    return chosen


def _last_part(variant: Variant) -> str:
    count = len(variant.files)
    return f"00001-of-{count:05d}"
