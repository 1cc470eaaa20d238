"""What a GGUF file says, as a value, with getters that refuse a value of the wrong type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edge_llm.errors import ModelFormatError
from edge_llm.hub.gguf_info import GGUFModelInfo, summarise
from edge_llm.hub.gguf_types import GGUFArray, GGUFValue, TensorInfo, ValueType


@dataclass(frozen=True)
class GGUFFile:
    """Header, metadata and tensor table of one file; no weights."""

    path: Path
    version: int
    metadata: Mapping[str, GGUFValue]
    types: Mapping[str, ValueType]
    """How each metadata value is stored: llama.cpp takes no other type than the one it expects."""
    tensors: Mapping[str, TensorInfo]
    """By name, in the order of the file."""
    alignment: int
    data_offset: int
    """Bytes from the start of the file to the first tensor."""
    file_bytes: int

    @cached_property
    def info(self) -> GGUFModelInfo:
        """The summary that other rooms read. Sound only after `check_loadable`."""
        return summarise(self.metadata, self.tensors)

    @property
    def architecture(self) -> str:
        """`general.architecture`.

        Raises:
            ModelFormatError: it is missing.
        """
        value = self.metadata.get("general.architecture")
        if not isinstance(value, str) or not value:
            raise self.error("general.architecture is missing")
        return value

    def integer(self, key: str) -> int | None:
        """The UINT32 stored under `key`; None when there is none.

        Raises:
            ModelFormatError: it has another type.
        """
        value = self.metadata.get(key)
        if value is None:
            return None
        if self.types[key] is not ValueType.UINT32 or not isinstance(value, int):
            raise self.error(f"{key} has the type {self.types[key].name}, not UINT32")
        return value

    def string(self, key: str) -> str | None:
        """The string stored under `key`; None when there is none.

        Raises:
            ModelFormatError: it has another type.
        """
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(f"{key} has the type {self.types[key].name}, not STRING")
        return value

    def array(self, key: str, *element_types: ValueType) -> GGUFArray | None:
        """The array stored under `key`, with elements of one of the given types.

        Raises:
            ModelFormatError: it is no such array.
        """
        value = self.metadata.get(key)
        if value is None:
            return None
        wanted = " or ".join(kind.name for kind in element_types)
        if not isinstance(value, GGUFArray):
            raise self.error(f"{key} is not an array of {wanted} but {self.types[key].name}")
        if value.element_type not in element_types:
            raise self.error(f"{key} is an array of {value.element_type.name}, not of {wanted}")
        return value

    def error(self, problem: str) -> ModelFormatError:
        """The error that says that this file is wrong."""
        return ModelFormatError(
            f"{str(self.path)!r}: {problem}",
            hint="the file is damaged or badly converted: download it again or take another one",
        )
