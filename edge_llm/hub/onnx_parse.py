"""ONNX files to `OnnxFile`, with every count and length checked before it is used.

Only the structure is judged here: whether it is a decoder that can be run is `onnx_decoder`'s
question. The `onnx` package is not needed. Source of the layout: onnx/onnx.proto, ONNX 1.23.
"""

from __future__ import annotations

import mmap
import stat
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edge_llm.errors import ModelError, ModelFormatError, ModelNotFoundError
from edge_llm.hub.onnx_tensor import TensorReader, check_external
from edge_llm.hub.onnx_types import (
    ELEMENT_TYPES,
    Dim,
    Graph,
    Node,
    TensorInfo,
    ValueInfo,
)
from edge_llm.hub.onnx_wire import BYTES, Field, Span, WireReader, signed

MAX_NODES = 1 << 18
MAX_DEPTH = 8
"""Graphs inside of nodes inside of graphs; a merged decoder has two."""
MAX_RANK = 16


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A model file without its weights."""

    path: Path
    graph: Graph
    opsets: MappingProxyType[str, int]
    """Version of each operator set, by domain; the standard one is the empty name."""
    producer: str
    functions: frozenset[tuple[str, str]]
    """Domain and name of operators that the file defines itself."""
    file_bytes: int
    external_files: tuple[Path, ...]

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """All constants, those of inner graphs and of nodes included."""
        found: list[TensorInfo] = []
        for graph in self.graph.walk():
            found += graph.initializers.values()
            found += (tensor for node in graph.nodes for tensor in node.tensors.values())
        return tuple(found)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constants."""
        return sum(tensor.num_bytes for tensor in self.tensors)


def read_onnx(path: Path) -> OnnxFile:
    """Everything but the weights of an ONNX file, with a structure that is known to be sound.

    Files with external weights are checked to lie in the same folder and to be long enough.

    Raises:
        ModelNotFoundError: there is no such file, or one with its weights is missing.
        TruncatedModelError: the file, or one with its weights, ends too early.
        ModelFormatError: another kind of file, or one that contradicts itself.
    """
    path = Path(path)
    try:
        # Opening a pipe would wait for a writer, and reading a device might never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ModelNotFoundError(f"{str(path)!r} is not a file", hint="name the .onnx file")
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            _require_binary(path, stream.read(32))
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                file = _Parser(path, data).model(Span(0, size))
    except FileNotFoundError as exc:
        raise ModelNotFoundError(
            f"there is no model file {str(path)!r}", hint="check the path"
        ) from exc
    except OSError as exc:
        raise ModelError(f"cannot read {str(path)!r}: {exc.strerror or exc}") from exc
    return file


_OTHER_FORMATS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file that it points to"),
    (b"<!", "a web page"),
    (b"<html", "a web page"),
    (b"GGUF", "a GGUF file; its name should end in .gguf"),
    (b"PK\x03\x04", "a zip archive or a PyTorch checkpoint"),
    (b"ORTM", "a model in onnxruntime's own format"),
)


def _require_binary(path: Path, head: bytes) -> None:
    if not head:
        raise ModelFormatError(f"{str(path)!r} is empty", hint="download it again")
    for magic, kind in _OTHER_FORMATS:
        if head.startswith(magic) or head[4:8] == magic:
            raise ModelFormatError(
                f"{str(path)!r} is not an ONNX file but {kind}", hint="download the model itself"
            )


class _Parser:
    """Turns the messages of one file into values."""

    def __init__(self, path: Path, data: mmap.mmap | bytes) -> None:
        self._path = path
        self._wire = WireReader(data, str(path))
        self._tensors = TensorReader(self._wire)
        self._num_nodes = 0

    def model(self, span: Span) -> OnnxFile:
        """A `ModelProto`."""
        graphs: list[Field] = []
        opsets: dict[str, int] = {}
        functions = set()
        producer = ""
        for field in self._wire.fields(span):
            if field.number == 2:
                producer = self._text(field)
            elif field.number == 7:
                graphs.append(field)
            elif field.number == 8:
                domain, version = self._opset(field)
                opsets[domain] = version
            elif field.number == 25:
                functions.add(self._function(field))
        if len(graphs) != 1 or not opsets:
            raise self._wire.error("it is not an ONNX file, or damaged: it holds no graph")
        graph = self.graph(self._span(graphs[0]), 0)
        num_bytes = span.num_bytes
        file = OnnxFile(
            self._path, graph, MappingProxyType(opsets), producer, frozenset(functions),
            num_bytes, (),
        )  # fmt: skip
        external = check_external(self._path, file.tensors)
        return OnnxFile(
            self._path, graph, file.opsets, producer, file.functions, num_bytes, external
        )

    def graph(self, span: Span, depth: int) -> Graph:
        """A `GraphProto`."""
        if depth > MAX_DEPTH:
            raise self._wire.error("its graphs are nested too deeply")
        nodes: list[Node] = []
        initializers: dict[str, TensorInfo] = {}
        values: dict[int, list[ValueInfo]] = {11: [], 12: []}
        for field in self._wire.fields(span):
            if field.number == 1:
                nodes.append(self._node(self._span(field), depth))
            elif field.number == 5:
                tensor = self._tensors.read(self._span(field))
                if not tensor.name or tensor.name in initializers:
                    raise self._wire.error(f"it has the constant {tensor.name!r} twice")
                initializers[tensor.name] = tensor
            elif field.number in values:
                values[field.number].append(self._value_info(self._span(field)))
            elif field.number == 15:
                raise self._wire.error("it holds sparse tensors, which this runtime does not read")
        inputs = tuple(value for value in values[11] if value.name not in initializers)
        return Graph(inputs, tuple(values[12]), tuple(nodes), MappingProxyType(initializers))

    def _node(self, span: Span, depth: int) -> Node:
        self._num_nodes += 1
        if self._num_nodes > MAX_NODES:
            raise self._wire.error(f"it has more than {MAX_NODES} nodes")
        names: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: [], 7: []}
        attributes: list[Span] = []
        for field in self._wire.fields(span):
            if field.number in names:
                names[field.number].append(self._text(field))
            elif field.number == 5:
                attributes.append(self._span(field))
        numbers: dict[str, float] = {}
        lists: dict[str, tuple[int, ...]] = {}
        tensors: dict[str, TensorInfo] = {}
        graphs: dict[str, Graph] = {}
        for attribute in attributes:
            self._attribute(attribute, depth, (numbers, lists, tensors, graphs))
        return Node(
            op_type=_last(names[4]),
            domain=_standard(_last(names[7])),
            name=_last(names[3]),
            inputs=tuple(names[1]),
            outputs=tuple(names[2]),
            numbers=numbers,
            lists=lists,
            tensors=tensors,
            graphs=graphs,
        )

    def _attribute(
        self,
        span: Span,
        depth: int,
        into: tuple[
            dict[str, float], dict[str, tuple[int, ...]], dict[str, TensorInfo], dict[str, Graph]
        ],
    ) -> None:
        numbers, lists, tensors, graphs = into
        fields = list(self._wire.fields(span))
        name = _last([self._text(field) for field in fields if field.number == 1])
        integers: list[int] = []
        for field in fields:
            if field.number == 2:
                numbers[name] = self._wire.float32(field)
            elif field.number == 3:
                numbers[name] = signed(field.value)
            elif field.number == 5:
                tensors[name] = self._tensors.read(self._span(field))
            elif field.number in (6, 11):
                key = f"{name}.{len(graphs)}" if field.number == 11 else name
                graphs[key] = self.graph(self._span(field), depth + 1)
            elif field.number == 8:
                integers += self._wire.integers(field)
            elif field.number == 10:
                tensors[f"{name}.{len(tensors)}"] = self._tensors.read(self._span(field))
        if integers:
            lists[name] = tuple(integers)

    def _value_info(self, span: Span) -> ValueInfo:
        name, dtype, shape = "", "", None
        for field in self._wire.fields(span):
            if field.number == 1:
                name = self._text(field)
            elif field.number == 2:
                for kind in self._wire.fields(self._span(field)):
                    if kind.number == 1:
                        dtype, shape = self._tensor_type(self._span(kind))
        return ValueInfo(name, dtype, shape)

    def _tensor_type(self, span: Span) -> tuple[str, tuple[Dim, ...] | None]:
        dtype, shape = "", None
        for field in self._wire.fields(span):
            if field.number == 1:
                element = ELEMENT_TYPES.get(field.value)
                dtype = element.name if element else f"type {field.value}"
            elif field.number == 2:
                dims = [f for f in self._wire.fields(self._span(field)) if f.number == 1]
                if len(dims) > MAX_RANK:
                    raise self._wire.error(f"an input or output has {len(dims)} dimensions")
                shape = tuple(self._dim(self._span(dim)) for dim in dims)
        return dtype, shape

    def _dim(self, span: Span) -> Dim:
        dim: Dim = None
        for field in self._wire.fields(span):
            if field.number == 1:
                dim = signed(field.value)
            elif field.number == 2:
                dim = self._text(field)
        return dim

    def _opset(self, field: Field) -> tuple[str, int]:
        domain, version = "", 0
        for part in self._wire.fields(self._span(field)):
            if part.number == 1:
                domain = _standard(self._text(part))
            elif part.number == 2:
                version = signed(part.value)
        return domain, version

    def _function(self, field: Field) -> tuple[str, str]:
        name = domain = ""
        for part in self._wire.fields(self._span(field)):
            if part.number == 1:
                name = self._text(part)
            elif part.number == 10:
                domain = self._text(part)
        return domain, name

    def _span(self, field: Field) -> Span:
        self._wire.require(field, BYTES)
        return field.span

    def _text(self, field: Field) -> str:
        return self._wire.text(self._span(field))


def _last(values: list[str]) -> str:
    """What protobuf takes of a field that may be there once; empty where it is not."""
    return values[-1] if values else ""


def _standard(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
