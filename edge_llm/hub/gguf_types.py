"""The vocabulary of a GGUF file: value types, tensor types, and arrays that are decoded late.

Plain data; it knows neither files nor architectures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from math import prod
from struct import Struct
from typing import NamedTuple

U32 = Struct("<I")
I32 = Struct("<i")
U64 = Struct("<Q")


class ValueType(IntEnum):
    """Type of a metadata value. Source: ggml/include/gguf.h, ggml 0.25.3."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALARS: dict[ValueType, Struct] = {
    ValueType.UINT8: Struct("<B"),
    ValueType.INT8: Struct("<b"),
    ValueType.UINT16: Struct("<H"),
    ValueType.INT16: Struct("<h"),
    ValueType.UINT32: U32,
    ValueType.INT32: I32,
    ValueType.FLOAT32: Struct("<f"),
    ValueType.BOOL: Struct("<?"),
    ValueType.UINT64: U64,
    ValueType.INT64: Struct("<q"),
    ValueType.FLOAT64: Struct("<d"),
}
"""How each value type of fixed size is stored."""


class GGMLType(NamedTuple):
    """How the numbers of a tensor are stored."""

    name: str
    block_size: int
    """Numbers that are stored together."""
    block_bytes: int


GGML_TYPES: dict[int, GGMLType] = {
    0: GGMLType("F32", 1, 4),
    1: GGMLType("F16", 1, 2),
    2: GGMLType("Q4_0", 32, 18),
    3: GGMLType("Q4_1", 32, 20),
    6: GGMLType("Q5_0", 32, 22),
    7: GGMLType("Q5_1", 32, 24),
    8: GGMLType("Q8_0", 32, 34),
    9: GGMLType("Q8_1", 32, 36),
    10: GGMLType("Q2_K", 256, 84),
    11: GGMLType("Q3_K", 256, 110),
    12: GGMLType("Q4_K", 256, 144),
    13: GGMLType("Q5_K", 256, 176),
    14: GGMLType("Q6_K", 256, 210),
    15: GGMLType("Q8_K", 256, 292),
    16: GGMLType("IQ2_XXS", 256, 66),
    17: GGMLType("IQ2_XS", 256, 74),
    18: GGMLType("IQ3_XXS", 256, 98),
    19: GGMLType("IQ1_S", 256, 50),
    20: GGMLType("IQ4_NL", 32, 18),
    21: GGMLType("IQ3_S", 256, 110),
    22: GGMLType("IQ2_S", 256, 82),
    23: GGMLType("IQ4_XS", 256, 136),
    24: GGMLType("I8", 1, 1),
    25: GGMLType("I16", 1, 2),
    26: GGMLType("I32", 1, 4),
    27: GGMLType("I64", 1, 8),
    28: GGMLType("F64", 1, 8),
    29: GGMLType("IQ1_M", 256, 56),
    30: GGMLType("BF16", 1, 2),
    34: GGMLType("TQ1_0", 256, 54),
    35: GGMLType("TQ2_0", 256, 66),
    39: GGMLType("MXFP4", 32, 17),
    40: GGMLType("NVFP4", 64, 36),
    41: GGMLType("Q1_0", 128, 18),
    42: GGMLType("Q2_0", 64, 18),
}
"""Tensor types by code; codes left out were removed. Source: ggml/src/ggml.c, ggml 0.25.3."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor lies and how it is stored."""

    name: str
    shape: tuple[int, ...]
    """As ggml writes it: the row length first. A matrix of a layer is (inputs, outputs)."""
    ggml_type: GGMLType
    offset: int
    """Bytes from `GGUFFile.data_offset`."""
    num_bytes: int

    @property
    def num_elements(self) -> int:
        """Numbers in the tensor."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class GGUFArray:
    """An array value, checked to lie in the file, decoded only when asked."""

    element_type: ValueType
    count: int
    data: bytes = field(repr=False)
    """The elements as they are in the file; strings each with a length of 8 bytes before them."""

    def __len__(self) -> int:
        return self.count

    def raw_strings(self) -> list[bytes]:
        """The strings, undecoded; empty when this is not an array of strings."""
        if self.element_type is not ValueType.STRING:
            return []
        data, unpack, position = self.data, U64.unpack_from, 0
        strings = []
        for _ in range(self.count):
            start = position + 8
            position = start + unpack(data, position)[0]
            strings.append(data[start:position])
        return strings

    def strings(self) -> list[str]:
        """The strings as text; bytes that are not UTF-8 become lone surrogates."""
        return [raw.decode("utf-8", "surrogateescape") for raw in self.raw_strings()]

    def numbers(self) -> list[int | float]:
        """The elements as numbers; empty when this is an array of strings."""
        if self.element_type is ValueType.STRING:
            return []
        code = SCALARS[self.element_type].format[-1]
        return list(Struct(f"<{self.count}{code}").unpack(self.data))


GGUFValue = int | float | bool | str | GGUFArray
"""A metadata value."""
