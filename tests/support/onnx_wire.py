"""Writes ONNX files field by field, without the `onnx` package, so that they can also be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from struct import pack
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

ELEMENT_CODES = {
    "float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10,
}  # fmt: skip
"""NumPy's names to `TensorProto.DataType`. Source: onnx/onnx.proto."""

Dim: TypeAlias = int | str
Attribute: TypeAlias = "int | float | str | Sequence[int] | NDArray[Any] | bytes"
"""`bytes` is an encoded graph."""


@dataclass
class GraphBuilder:
    """Collects nodes and initializers; every method returns the name of what it made."""

    nodes: list[bytes] = field(default_factory=list)
    initializers: dict[str, NDArray[Any]] = field(default_factory=dict)
    prefix: str = ""
    _count: int = 0

    def constant(self, name: str, values: Any, dtype: str = "float32") -> str:
        """An initializer."""
        self.initializers.setdefault(name, np.asarray(values, dtype))
        return name

    def node(
        self, op: str, inputs: Sequence[str], *outputs: str, domain: str = "", **attributes: Any
    ) -> str:
        """A node; returns its first output, which is named for it unless a name is given."""
        self._count += 1
        name = f"{self.prefix}{op}_{self._count}"
        names = outputs or (f"{name}_out",)
        self.nodes.append(encode_node(op, inputs, names, name, domain, attributes))
        return names[0]


def encode_node(
    op: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    name: str,
    domain: str,
    attributes: Mapping[str, Attribute],
) -> bytes:
    """A `NodeProto`."""
    parts = [text(1, value) for value in inputs]
    parts += [text(2, value) for value in outputs]
    parts += [text(3, name), text(4, op)]
    parts += [block(5, encode_attribute(*item)) for item in attributes.items()]
    return b"".join(parts) + text(7, domain)


def encode_attribute(name: str, value: Attribute) -> bytes:
    """An `AttributeProto`."""
    head = text(1, name)
    if isinstance(value, int):
        return head + number(3, value) + number(20, 2)
    if isinstance(value, float):
        return head + key(2, 5) + pack("<f", value) + number(20, 1)
    if isinstance(value, str):
        return head + text(4, value) + number(20, 3)
    if isinstance(value, bytes):
        return head + block(6, value) + number(20, 5)
    if isinstance(value, np.ndarray):
        return head + block(5, encode_tensor("", value)) + number(20, 4)
    return head + b"".join(number(8, item) for item in value) + number(20, 7)


def encode_tensor(
    name: str, values: NDArray[Any], external: tuple[str, int] | None = None
) -> bytes:
    """A `TensorProto`, its data inside or at a place (file name, offset) outside."""
    head = b"".join(number(1, extent) for extent in values.shape)
    head += number(2, ELEMENT_CODES[values.dtype.name]) + text(8, name)
    if external is None:
        return head + block(9, values.tobytes())
    entries = {"location": external[0], "offset": str(external[1]), "length": str(values.nbytes)}
    head += b"".join(block(13, text(1, k) + text(2, v)) for k, v in entries.items())
    return head + number(14, 1)


def encode_value_info(name: str, dtype: str, shape: Sequence[Dim]) -> bytes:
    """A `ValueInfoProto` of a tensor."""
    dims = b"".join(
        block(1, text(2, dim) if isinstance(dim, str) else number(1, dim)) for dim in shape
    )
    tensor = number(1, ELEMENT_CODES[dtype]) + block(2, dims)
    return text(1, name) + block(2, block(1, tensor))


def encode_graph(
    nodes: Sequence[bytes],
    tensors: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    name: str = "decoder",
) -> bytes:
    """A `GraphProto`."""
    return b"".join(
        [
            *(block(1, node) for node in nodes),
            text(2, name),
            *(block(5, tensor) for tensor in tensors),
            *(block(11, value) for value in inputs),
            *(block(12, value) for value in outputs),
        ]
    )


def encode_model(graph: bytes, opsets: Mapping[str, int]) -> bytes:
    """A whole `ModelProto`."""
    imports = b"".join(
        block(8, text(1, domain) + number(2, version)) for domain, version in opsets.items()
    )
    return number(1, 8) + text(2, "edge-llm-tests") + block(7, graph) + imports


def key(field_number: int, wire_type: int) -> bytes:
    """The tag in front of a field."""
    return varint(field_number << 3 | wire_type)


def number(field_number: int, value: int) -> bytes:
    """A field that holds an integer."""
    return key(field_number, 0) + varint(value & (1 << 64) - 1)


def text(field_number: int, value: str) -> bytes:
    """A field that holds a string."""
    return block(field_number, value.encode())


def block(field_number: int, value: bytes) -> bytes:
    """A field that holds bytes or a message."""
    return key(field_number, 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """A base-128 number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
