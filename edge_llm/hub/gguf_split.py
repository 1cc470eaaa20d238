"""Models in several files, `name-00001-of-00003.gguf` and so on, read as one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from edge_llm.errors import ModelFormatError, ModelNotFoundError
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_types import TensorInfo, ValueType

MAX_PARTS = 1 << 10

_PART_NAME = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


def part_numbers(file: GGUFFile) -> tuple[int, int]:
    """Which part the file is, from 0, and of how many.

    Raises:
        ModelFormatError: the file names parts in a way that llama.cpp does not take.
    """
    values = []
    for key, default in (("split.no", 0), ("split.count", 1)):
        value = file.metadata.get(key, default)
        if file.types.get(key, ValueType.UINT16) is not ValueType.UINT16:
            raise file.error(f"{key} has the type {file.types[key].name}, not UINT16")
        values.append(int(value) if isinstance(value, int) else default)
    number, count = values
    if count > MAX_PARTS or number >= max(count, 1):
        raise file.error(f"it says that it is part {number + 1} of {count}")
    return number, max(count, 1)


def join_parts(first: GGUFFile, read: Callable[[Path], GGUFFile]) -> GGUFFile:
    """The whole model that begins with `first`: its metadata, and the tensors of every part.

    Offsets stay relative to the part that the tensor is in. A later part is returned as it is.

    Raises:
        ModelNotFoundError: a part is not beside the first.
        ModelFormatError: a part belongs to another model.
    """
    number, count = part_numbers(first)
    if count == 1 or number:
        return first
    tensors = dict(first.tensors)
    file_bytes = first.file_bytes
    for index, path in enumerate(part_paths(first.path, count)[1:], start=1):
        part = _read_part(path, count, read)
        if "split.no" not in part.types or part_numbers(part) != (index, count):
            raise part.error(f"it should be part {index + 1} of {count} and says otherwise")
        _add(part, tensors)
        file_bytes += part.file_bytes
    promised = first.metadata.get("split.tensors.count")
    if first.types.get("split.tensors.count") is not ValueType.INT32 or promised != len(tensors):
        raise first.error(f"its parts have {len(tensors)} tensors, and it promises {promised}")
    return replace(first, tensors=MappingProxyType(tensors), file_bytes=file_bytes)


def named_part(path: Path) -> tuple[int, int] | None:
    """By its name alone, which part of a model the file is, from 1, and of how many; else None."""
    match = _PART_NAME.fullmatch(path.name)
    return (int(match["number"]), int(match["count"])) if match else None


def part_paths(path: Path, count: int) -> list[Path]:
    """Where llama.cpp looks for the parts of the model whose first part is `path`.

    Raises:
        ModelFormatError: the name is not that of a first part.
    """
    match = _PART_NAME.fullmatch(path.name)
    if match is None or int(match["number"]) != 1 or int(match["count"]) != count:
        raise ModelFormatError(
            f"{str(path)!r} is the first of {count} parts, but not named as such",
            hint=f"rename it so that it ends in '-00001-of-{count:05d}.gguf', and so for the rest",
        )
    prefix = match["prefix"]
    return [
        path.with_name(f"{prefix}-{index:05d}-of-{count:05d}.gguf") for index in range(1, count + 1)
    ]


def check_split(file: GGUFFile) -> None:
    """Return when the file is a whole model or its first part.

    Raises:
        ModelFormatError: it is a later part.
    """
    number, count = part_numbers(file)
    if number:
        raise ModelFormatError(
            f"{str(file.path)!r} is part {number + 1} of {count} of a model",
            hint=f"name the first part, '…-00001-of-{count:05d}.gguf'",
        )


def _read_part(path: Path, count: int, read: Callable[[Path], GGUFFile]) -> GGUFFile:
    try:
        return read(path)
    except ModelNotFoundError as exc:
        raise ModelNotFoundError(
            f"the model has {count} parts, and {path.name!r} is missing",
            hint=f"put it beside the first part in {str(path.parent)!r}",
        ) from exc


def _add(part: GGUFFile, tensors: dict[str, TensorInfo]) -> None:
    for name, info in part.tensors.items():
        if name in tensors:
            raise part.error(f"the tensor {name!r} is in an earlier part as well")
        tensors[name] = info
