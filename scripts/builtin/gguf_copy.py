"""Reads a GGUF file of the built-in model, and writes it again in another precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from numpy.typing import NDArray

_WRITTEN_BY_ITSELF = ("GGUF.", "general.architecture", "general.file_type")


@dataclass(frozen=True, slots=True)
class GGUFModel:
    """What a file holds."""

    fields: dict[str, Any]
    weights: dict[str, NDArray[np.float32]]
    """Tensors under their GGUF names, matrices as (rows out, columns in)."""

    def __getitem__(self, key: str) -> Any:
        """The value of a metadata key."""
        return self.fields[key]


def read_gguf(path: Path) -> GGUFModel:
    """The metadata and the weights in float32 of the file at `path`, whatever their precision."""
    reader = gguf.GGUFReader(path)
    weights = {
        tensor.name: np.asarray(
            gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32
        )
        for tensor in reader.tensors
    }
    fields = {name: field.contents() for name, field in reader.fields.items()}
    return GGUFModel(fields, weights)


def copy_gguf(source: Path, target: Path, kind: Kind) -> None:
    """Write the model in `source` with its matrices in `kind`: F16, F32 or blocks such as Q4_0.

    A matrix whose rows are no whole number of blocks stays in F16.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    for name, field in reader.fields.items():
        if not name.startswith(_WRITTEN_BY_ITSELF):
            item = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], item)
    for name, values in read_gguf(source).weights.items():
        own = kind if values.ndim > 1 else Kind.F32
        if values.shape[-1] % gguf.GGML_QUANT_SIZES[own][0]:
            own = Kind.F16
        writer.add_tensor(name, gguf.quants.quantize(values, own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
