"""What an ONNX file holds, as plain data: values, tensors, nodes, graphs. Knows no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

MICROSOFT = "com.microsoft"
"""Domain of onnxruntime's own operators."""


class ElementType(NamedTuple):
    """How the numbers of a tensor are stored."""

    name: str
    bits: int
    """0 where the size is not fixed."""


ELEMENT_TYPES: Mapping[int, ElementType] = MappingProxyType(
    {
        1: ElementType("float32", 32),
        2: ElementType("uint8", 8),
        3: ElementType("int8", 8),
        4: ElementType("uint16", 16),
        5: ElementType("int16", 16),
        6: ElementType("int32", 32),
        7: ElementType("int64", 64),
        8: ElementType("string", 0),
        9: ElementType("bool", 8),
        10: ElementType("float16", 16),
        11: ElementType("float64", 64),
        12: ElementType("uint32", 32),
        13: ElementType("uint64", 64),
        14: ElementType("complex64", 64),
        15: ElementType("complex128", 128),
        16: ElementType("bfloat16", 16),
        17: ElementType("float8e4m3fn", 8),
        18: ElementType("float8e4m3fnuz", 8),
        19: ElementType("float8e5m2", 8),
        20: ElementType("float8e5m2fnuz", 8),
        21: ElementType("uint4", 4),
        22: ElementType("int4", 4),
        23: ElementType("float4e2m1", 4),
        24: ElementType("float8e8m0", 8),
        25: ElementType("uint2", 2),
        26: ElementType("int2", 2),
    }
)
"""By `TensorProto.DataType`. Source: onnx/onnx.proto, ONNX 1.23."""

Dim: TypeAlias = int | str | None
"""A fixed extent, the name of a free one, or one that has no name either."""


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """An input or output of a graph."""

    name: str
    dtype: str
    """Empty where it is not a tensor."""
    shape: tuple[Dim, ...] | None
    """None where the graph does not say."""

    @property
    def rank(self) -> int | None:
        """Number of dimensions, where it is known."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True, slots=True)
class External:
    """Where the numbers of a tensor lie outside of the file."""

    location: PurePosixPath
    """Relative to the folder of the file, and inside of it."""
    offset: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A constant of the graph, without its numbers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    num_bytes: int
    external: External | None = None
    values: tuple[int, ...] | None = None
    """The numbers of a small integer tensor."""
    offset: int | None = None
    """Where its bytes begin in the file, if they lie there as they are."""

    @property
    def num_elements(self) -> int:
        """Numbers in the tensor."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation."""

    op_type: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    """Empty where an optional input is left out."""
    outputs: tuple[str, ...]
    numbers: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Attributes that are an integer or a float."""
    lists: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Attributes that are several integers."""
    tensors: Mapping[str, TensorInfo] = field(default_factory=lambda: MappingProxyType({}))
    graphs: Mapping[str, Graph] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def label(self) -> str:
        """What errors call it."""
        kind = f"{self.domain}.{self.op_type}" if self.domain else self.op_type
        return f"node {self.name!r} ({kind})" if self.name else f"a node of type {kind}"

    def input(self, index: int) -> str:
        """The name of an input; empty where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def output(self, index: int) -> str:
        """The name of an output; empty where it is left out."""
        return self.outputs[index] if index < len(self.outputs) else ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in order, what goes in, what comes out, and the constants."""

    inputs: tuple[ValueInfo, ...]
    """Without those that have an initializer."""
    outputs: tuple[ValueInfo, ...]
    nodes: tuple[Node, ...]
    initializers: Mapping[str, TensorInfo]

    def walk(self) -> Iterator[Graph]:
        """This graph and those in its nodes, outermost first."""
        yield self
        for node in self.nodes:
            for inner in node.graphs.values():
                yield from inner.walk()
