"""What a model file is, as a short text: the same for the same weights wherever they lie.

The header of a GGUF file, with metadata, vocabulary and tensor table, is read whole, and so is
every tensor of up to 64 KiB (norms, biases). Of larger ones 4 KiB out of each MiB are read: a model
of gigabytes takes a second from an SD card instead of minutes. Retraining, merging and
quantising change numbers everywhere and are always seen; a change of a few bytes inside a large
tensor is seen only if it falls into a sample. Files of up to 64 MiB are read whole.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from edge_llm.errors import ModelNotFoundError
from edge_llm.hub.gguf import GGUFFile, read_gguf
from edge_llm.hub.gguf_split import part_numbers, part_paths
from edge_llm.hub.onnx_parse import OnnxFile, read_onnx

WHOLE_FILE_BYTES = 64 << 20
HEAD_BYTES = 16 << 20
"""Read whole at the start of a large file that is no GGUF file."""
WHOLE_REGION_BYTES = 64 << 10
STRIDE_BYTES = 1 << 20
SAMPLE_BYTES = 4 << 10
CACHED_FILES = 32

_PART = re.compile(r"(?P<prefix>.+-)\d{5}(?P<suffix>-of-\d{5}\.gguf)", re.DOTALL)


class Region(NamedTuple):
    """A run of bytes in a file."""

    offset: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """A low-rank adapter that is applied to the model."""

    fingerprint: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """Everything that decides whether a KV state of one process can be continued by another.

    The size of the context is not part of it: llama.cpp takes a state from a larger or smaller one.
    """

    model: str
    """`content_fingerprint` of the file."""
    library: str
    """Name, version and build of the library that computes."""
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attention: str | bool = "auto"
    """What was decided, where the library tells; without it values are stored transposed."""
    rope: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Rope parameters that differ from the model's own."""
    lora: Sequence[LoraAdapter] = ()
    num_streams: int = 1
    """1 with a KV cache for all sequences, else one stream for each sequence id."""
    extra: Mapping[str, str | float | bool] = field(default_factory=lambda: MappingProxyType({}))
    """Whatever else a backend's states depend on."""


def content_fingerprint(path: Path) -> str:
    """64 hexadecimal digits that stand for the weights and metadata in a model file.

    For the first file of several, of all of them. Computed once while the file stays as it is.

    Raises:
        ModelNotFoundError: there is no such file, or it cannot be read.
        ModelFormatError: it begins as a GGUF file does, and is none.
    """
    try:
        return _fingerprint(path, tuple(map(_identity, _files(path))))
    except OSError as exc:
        raise ModelNotFoundError(f"{str(path)!r} cannot be read: {exc.strerror}") from exc


def snapshot_fingerprint(settings: SnapshotSettings) -> str:
    """64 hexadecimal digits that are equal exactly when all settings are."""
    record = {
        "model": settings.model,
        "library": settings.library,
        "kv": [settings.type_k, settings.type_v],
        "flash_attention": settings.flash_attention,
        "rope": dict(settings.rope),
        "lora": [[adapter.fingerprint, adapter.scale] for adapter in settings.lora],
        "num_streams": settings.num_streams,
        "extra": dict(settings.extra),
        "byteorder": sys.byteorder,
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return blake2b(text.encode(), digest_size=32, person=b"edge-llm-kv").hexdigest()


def _files(path: Path) -> list[Path]:
    """The file and those that belong to it: other parts, or weights outside of an ONNX file."""
    if path.suffix == ".onnx":
        return [path, *read_onnx(path).external_files]
    match = _PART.fullmatch(path.name)
    if match is None:
        return [path]
    prefix, suffix = match["prefix"], match["suffix"]
    names = (p.name for p in path.parent.iterdir())
    return [path, *(path.with_name(n) for n in sorted(names) if _is_between(n, prefix, suffix))]


def _is_between(name: str, prefix: str, suffix: str) -> bool:
    return name.startswith(prefix) and name.endswith(suffix)


def _identity(path: Path) -> tuple[int, ...]:
    """What changes when the file does. The time of last change alone can be set back by tools."""
    status = os.stat(path)
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


@lru_cache(maxsize=CACHED_FILES)
def _fingerprint(path: Path, identities: tuple[tuple[int, ...], ...]) -> str:
    """What is in the file; the identities are there to tell a changed file from a known one."""
    total = blake2b(digest_size=32, person=b"edge-llm-model")
    for part, regions in _parts(path):
        total.update(_digest(part, regions))
    return total.hexdigest()


def _parts(path: Path) -> list[tuple[Path, list[Region]]]:
    """Each file of the model with the regions to look at."""
    if path.suffix == ".onnx":
        return _onnx_parts(read_onnx(path))
    with path.open("rb") as file:
        is_gguf = file.read(4) == b"GGUF"
    return _gguf_parts(path) if is_gguf else [(path, _head_and_rest(path))]


def _onnx_parts(model: OnnxFile) -> list[tuple[Path, list[Region]]]:
    """The graph with its larger constants apart, and each file of weights with those in it."""
    inside = sorted(
        Region(tensor.offset, tensor.num_bytes)
        for tensor in model.tensors
        if tensor.offset is not None and tensor.num_bytes > WHOLE_REGION_BYTES
    )
    parts = [(model.path, [*_between(inside, model.file_bytes), *inside])]
    for file in model.external_files:
        places = [t.external for t in model.tensors if t.external is not None]
        parts.append(
            (
                file,
                sorted(
                    Region(place.offset, place.num_bytes)
                    for place in places
                    if model.path.parent / place.location == file
                ),
            )
        )
    return parts


def _between(regions: Iterable[Region], num_bytes: int) -> Iterator[Region]:
    """What of a file is outside of some regions, in pieces that are read whole."""
    position = 0
    for region in [*regions, Region(num_bytes, 0)]:
        for piece in _pieces(max(0, region.offset - position)):
            yield Region(position + piece.offset, piece.num_bytes)
        position = max(position, region.offset + region.num_bytes)


def _gguf_parts(path: Path) -> list[tuple[Path, list[Region]]]:
    """Each file of the model with its header and its tensors."""
    first = read_gguf(path)
    number, count = part_numbers(first)
    paths = [path] if number else part_paths(path, count) if count > 1 else [path]
    later = [read_gguf(part) for part in paths[1:]]
    elsewhere = {name for part in later for name in part.tensors}
    return [
        (first.path, _gguf_regions(first, first.tensors.keys() - elsewhere)),
        *((part.path, _gguf_regions(part, part.tensors.keys())) for part in later),
    ]


def _gguf_regions(file: GGUFFile, names: Set[str]) -> list[Region]:
    tensors = [file.tensors[name] for name in file.tensors if name in names]
    return [
        *_pieces(file.data_offset),
        *(Region(file.data_offset + tensor.offset, tensor.num_bytes) for tensor in tensors),
    ]


def _head_and_rest(path: Path) -> list[Region]:
    size = path.stat().st_size
    head = min(HEAD_BYTES, size)
    return [*_pieces(head), Region(head, size - head)]


def _pieces(num_bytes: int) -> list[Region]:
    """The first bytes of a file, in pieces that are small enough to be read whole."""
    return [
        Region(start, min(WHOLE_REGION_BYTES, num_bytes - start))
        for start in range(0, num_bytes, WHOLE_REGION_BYTES)
    ]


def _digest(path: Path, regions: Iterable[Region]) -> bytes:
    """What is in one file: its size, and all of it or samples of its regions."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = blake2b(size.to_bytes(8, "little"), digest_size=32)
        if size <= WHOLE_FILE_BYTES:
            while block := file.read(STRIDE_BYTES):
                digest.update(block)
            return digest.digest()
        for region in regions:
            for start, length in _samples(region):
                digest.update(os.pread(file.fileno(), length, start))
    return digest.digest()


def _samples(region: Region) -> Iterable[Region]:
    """The region itself when it is small, else a few KiB at another place in each of its MiB."""
    offset, num_bytes = region
    if num_bytes <= WHOLE_REGION_BYTES:
        yield region
        return
    for index, start in enumerate(range(0, num_bytes, STRIDE_BYTES)):
        room = min(STRIDE_BYTES, num_bytes - start) - SAMPLE_BYTES
        # Source: Knuth's multiplicative hash; samples at one distance would follow the rows.
        shift = index * 2654435761 % (room + 1) if room > 0 else 0
        yield Region(offset + start + shift, min(SAMPLE_BYTES, num_bytes - start))
