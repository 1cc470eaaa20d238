"""What `edge-llm inspect` says of a model on the hub, of which only the header is fetched."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from edge_llm.backends.llama_cpp.fit import context_shape
from edge_llm.cli.inspect_parts import Record
from edge_llm.config import EdgeConfig, is_offline
from edge_llm.device.memory import available_memory_bytes
from edge_llm.errors import InsufficientMemoryError, ModelNotFoundError
from edge_llm.hub.client import HubClient, RemoteRepo, remove_library_noise
from edge_llm.hub.client_errors import with_retries
from edge_llm.hub.gguf import GGUFFile
from edge_llm.hub.gguf_memory import estimate_memory
from edge_llm.hub.pull_plan import choose_variant, guess_memory, meant_variants
from edge_llm.hub.reference import ModelReference
from edge_llm.hub.registry import repositories
from edge_llm.hub.remote_model import RemoteReader
from edge_llm.hub.variants import Variant, find_variants


def inspect_remote(reference: ModelReference, config: EdgeConfig) -> Record:
    """Facts of the quantisation that `pull` would take, without fetching its weights.

    Raises:
        ModelNotFoundError: no repository has what was meant.
        ModelFormatError: the header is damaged.
        ModelDownloadError: the hub cannot be reached, or refuses.
    """
    remove_library_noise()
    client = HubClient(is_offline=is_offline())
    repo, variants = _find(client, reference)
    chosen = _Choice(RemoteReader(client, repo), config)
    variant = chosen.among(client, variants)
    head: Record = {
        "model": reference.text,
        "source": "hub",
        "repo": repo.name,
        "commit": repo.commit,
        "file": variant.entry,
        "gated": repo.is_gated,
        "others": [other.label for other in variants if other is not variant],
    }
    found = chosen.describe(variant)
    licence = found.get("license") or repo.licence or ""
    return head | found | {"license": licence, "fetched_bytes": chosen.reader.fetched_bytes}


def _find(client: HubClient, reference: ModelReference) -> tuple[RemoteRepo, list[Variant]]:
    """The first repository that has what was meant, and all of it that is, preferred first."""
    *others, last = repositories(reference)
    for name in others:
        with suppress(ModelNotFoundError):
            return _list(client, name, reference)
    return _list(client, last, reference)


def _list(
    client: HubClient, name: str, reference: ModelReference
) -> tuple[RemoteRepo, list[Variant]]:
    repo = with_retries(lambda: client.list_repo(name, reference.revision))
    sizes = {path: file.num_bytes for path, file in repo.files.items()}
    variants = [variant for variant in find_variants(sizes) if variant.is_complete]
    if not variants:
        raise ModelNotFoundError(f"{name!r} holds no GGUF or ONNX model")
    return repo, meant_variants(variants, name, reference.file or reference.quant)


@dataclass
class _Choice:
    """Chooses as `pull` does, and keeps the headers that it needs for that."""

    reader: RemoteReader
    config: EdgeConfig
    headers: dict[str, GGUFFile] = field(default_factory=dict)

    def among(self, client: HubClient, variants: list[Variant]) -> Variant:
        """The variant that `pull` would take; the smallest where none fits in memory."""
        free = available_memory_bytes()
        try:
            return choose_variant(client, self.reader.repo, variants, free, self.estimate)[0]
        except InsufficientMemoryError:
            return min(variants, key=lambda variant: variant.num_bytes)

    def estimate(self, client: HubClient, repo: RemoteRepo, variant: Variant) -> int:
        """Bytes of memory that a variant takes."""
        if variant.kind != "gguf":
            return guess_memory(client, repo, variant)
        header = self._header(variant)
        return estimate_memory(header, context_shape(header, self.config, 0)).total

    def describe(self, variant: Variant) -> Record:
        """The record of a variant, as of one on this machine."""
        if variant.kind == "gguf":
            from edge_llm.cli.inspect_gguf import inspect_gguf

            folder = Path(variant.entry).parent
            siblings = [p for p in map(Path, self.reader.repo.files) if p.parent == folder]
            return inspect_gguf(
                self._header(variant), self.config, [path.name for path in siblings]
            )
        from edge_llm.cli.inspect_onnx_remote import inspect_onnx_remote

        with tempfile.TemporaryDirectory(prefix="edge-llm-") as folder_name:
            graph = self.reader.save_companions(variant, Path(folder_name))
            return inspect_onnx_remote(graph, variant, list(self.reader.repo.files), self.config)

    def _header(self, variant: Variant) -> GGUFFile:
        if variant.entry not in self.headers:
            self.headers[variant.entry] = self.reader.read_gguf(variant.entry)
        return self.headers[variant.entry]
