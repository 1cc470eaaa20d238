"""Hyper-parameters of a file, each under the name of its architecture, with their ranges."""

from __future__ import annotations

from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_info import per_layer
from edge_llm.hub.gguf_types import GGUFArray, ValueType


def require_range(file: GGUFFile, name: str, low: int, high: int) -> None:
    """Return when a hyper-parameter is absent, or from `low` to `high`.

    Raises:
        ModelFormatError: it is not, or has another type than UINT32.
    """
    key = f"{file.architecture}.{name}"
    if isinstance(file.metadata.get(key), GGUFArray):
        layers_of(file, name, high)
        return
    value = file.integer(key)
    if value is not None and not low <= value <= high:
        raise file.error(f"{key} is {value}; it must be from {low} to {high}")


def num_layers(file: GGUFFile) -> int:
    """`block_count`, which `_check_sizes` has found to be there."""
    return file.integer(f"{file.architecture}.block_count") or 0


def layers_of(file: GGUFFile, name: str, high: int) -> tuple[int, ...]:
    """A hyper-parameter by layer, each from 0 to `high`; empty when the file has none.

    Raises:
        ModelFormatError: a value is out of range, or there are more or fewer than layers.
    """
    key = f"{file.architecture}.{name}"
    if isinstance(file.metadata.get(key), GGUFArray):
        array = file.array(key, ValueType.UINT32, ValueType.INT32)
        if array is not None and len(array) != num_layers(file):
            raise file.error(f"{key} has {len(array)} values for {num_layers(file)} layers")
    else:
        file.integer(key)
    values = per_layer(file.metadata.get(key), num_layers(file))
    for value in values:
        if not 0 <= value <= high:
            raise file.error(f"{key} has the value {value}; the most that is accepted is {high}")
    return values
