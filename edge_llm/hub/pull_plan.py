"""What pulling a model would fetch: which quantisation, which files, how much, and does it fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_llm.device.memory import available_memory_bytes, describe_bytes
from edge_llm.errors import InsufficientMemoryError, ModelError, ModelNotFoundError, did_you_mean
from edge_llm.hub.cache_layout import RepoFolder, repo_folder
from edge_llm.hub.client import HubClient, RemoteFile, RemoteRepo
from edge_llm.hub.client_errors import with_retries
from edge_llm.hub.reference import ModelReference
from edge_llm.hub.transfer import has_size
from edge_llm.hub.variants import Variant, find_variants, matching, preferred

MIN_OVERHEAD_BYTES = 128 << 20
"""Added to the weights where no header says what a context takes."""

Estimate = Callable[[HubClient, RemoteRepo, Variant], int]
"""Bytes of memory that a variant takes when it is loaded as it would be by default."""


@dataclass(frozen=True, slots=True)
class PullPlan:
    """One model of a repository, and what of it has to come."""

    reference: ModelReference
    repo: RemoteRepo
    folder: RepoFolder
    variant: Variant
    files: tuple[RemoteFile, ...]
    """All it needs, the entry last."""
    present_bytes: int
    """Of these files, what is here already, whole or in part."""
    memory_bytes: int
    """What the model takes when it is loaded as by default."""
    available_bytes: int
    """Memory that is free now."""
    others: tuple[Variant, ...]
    """Other quantisations in the repository."""

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(file.num_bytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """What has to be fetched."""
        return self.total_bytes - self.present_bytes

    @property
    def fits(self) -> bool:
        """Whether it could be loaded now."""
        return self.memory_bytes <= self.available_bytes

    @property
    def path(self) -> Path:
        """Where the model will be."""
        return self.folder.snapshot(self.repo.commit) / self.variant.entry


def plan_pull(
    client: HubClient, reference: ModelReference, repo_names: Sequence[str], estimate: Estimate
) -> PullPlan:
    """What to fetch for `reference` from the first of these repositories that has it.

    Raises:
        ModelNotFoundError: no repository, or nothing in it that was meant.
        InsufficientMemoryError: nothing of it fits, and no quantisation was asked for.
        ModelDownloadError: the hub cannot be reached, or refuses.
    """
    for name in repo_names[:-1]:
        try:
            return _plan(client, reference, name, estimate)
        except ModelNotFoundError:
            continue
    return _plan(client, reference, repo_names[-1], estimate)


def _plan(client: HubClient, reference: ModelReference, name: str, estimate: Estimate) -> PullPlan:
    repo = with_retries(lambda: client.list_repo(name, reference.revision))
    sizes = {path: file.num_bytes for path, file in repo.files.items()}
    variants = [variant for variant in find_variants(sizes) if variant.is_complete]
    if not variants:
        raise ModelNotFoundError(
            f"{name!r} holds no GGUF or ONNX model",
            hint=f"look for one under {client.endpoint}/models?search={name.rpartition('/')[2]}",
        )
    free = available_memory_bytes()
    wanted = reference.file or reference.quant
    candidates = meant_variants(variants, name, wanted)
    chosen, memory = choose_variant(client, repo, candidates, free, estimate)
    files = tuple(repo.files[path] for path in chosen.files)
    folder = repo_folder(name)
    return PullPlan(
        reference,
        repo,
        folder,
        chosen,
        files,
        sum(_present_bytes(folder, repo.commit, file) for file in files),
        memory,
        free,
        tuple(variant for variant in preferred(variants) if variant is not chosen),
    )


def guess_memory(client: HubClient, repo: RemoteRepo, variant: Variant) -> int:
    """Bytes from the size of the files alone: an eighth more than the weights, at least 128 MiB."""
    return variant.num_bytes + max(variant.num_bytes // 8, MIN_OVERHEAD_BYTES)


def meant_variants(variants: list[Variant], name: str, wanted: str | None) -> list[Variant]:
    """Those that were asked for, the preferred one first.

    Raises:
        ModelNotFoundError: the repository has none of them.
    """
    if wanted is None:
        return preferred(variants)
    found = matching(variants, wanted)
    if not found:
        labels = sorted({variant.label for variant in variants})
        raise ModelNotFoundError(f"{name!r} has no {wanted!r}", hint=did_you_mean(wanted, labels))
    return preferred(found)


def choose_variant(
    client: HubClient,
    repo: RemoteRepo,
    candidates: list[Variant],
    free_bytes: int,
    estimate: Estimate,
) -> tuple[Variant, int]:
    """The first candidate that fits, and what it takes; where there is no choice, that one.

    Raises:
        InsufficientMemoryError: none fits, and there is a choice.
        ModelDownloadError: a header cannot be read.
    """
    smallest: tuple[int, Variant] | None = None
    for variant in candidates:
        # Weights alone too large: no header need be fetched to know the answer.
        if len(candidates) > 1 and variant.num_bytes > free_bytes:
            needed = guess_memory(client, repo, variant)
        else:
            needed = estimate(client, repo, variant)
        if needed <= free_bytes or len(candidates) == 1:
            return variant, needed
        smallest = min(smallest or (needed, variant), (needed, variant), key=lambda pair: pair[0])
    if smallest is None:
        raise ModelError(f"{repo.name!r} holds no model")
    raise InsufficientMemoryError(
        f"nothing in {repo.name!r} fits in the {describe_bytes(free_bytes)} of memory that are"
        f" free: {smallest[1].label} takes {describe_bytes(smallest[0])}",
        hint=f"free some memory, take a smaller model, or name it: {repo.name}:{smallest[1].label}",
    )


def _present_bytes(folder: RepoFolder, commit: str, file: RemoteFile) -> int:
    places = (folder.snapshot(commit) / file.path, folder.blobs / file.etag)
    if any(has_size(place, file.num_bytes) for place in places):
        return file.num_bytes
    try:
        return min(folder.partial(file.etag).stat().st_size, file.num_bytes)
    except OSError:
        return 0
