"""The matrices of a decoder's graph: where they are, what they are for, and how to replace them.

Works on the messages of the `onnx` package; knows nothing of how weights are stored in fewer bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_llm.errors import UnsupportedModelError
from edge_llm.quantize.library import walk_graphs

CONTRIB = "com.microsoft"
QUANTIZED_OPS = frozenset(
    (
        "MatMulNBits", "MatMulBnb4", "MatMulInteger", "MatMulIntegerToFloat", "QLinearMatMul",
        "DynamicQuantizeMatMul", "GatherBlockQuantized", "DequantizeLinear", "QMoE", "QAttention",
    )
)  # fmt: skip

Role: TypeAlias = Literal["layer", "embedding", "head"]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A node that multiplies with a constant matrix, or looks rows up in one."""

    graph: Any
    """The `GraphProto` that the node is in: the main one, or a branch."""
    node: Any
    constant: str
    """The name of the matrix."""
    role: Role
    rows_are_outputs: bool
    """The constant is (outputs, inputs), which a product sees through a Transpose."""

    @property
    def label(self) -> str:
        """What `keep` patterns are held against first, and what reports say."""
        return self.node.name or self.constant


class GraphEditor:
    """A loaded model that is changed in place.

    Raises:
        UnsupportedModelError: it is quantised already.
    """

    def __init__(self, library: ModuleType, model: Any) -> None:
        self.model = model
        self._helper = library.helper
        self._arrays = library.numpy_helper
        self._tensors = library.TensorProto
        self._owners: dict[str, tuple[Any, Any]] = {}
        self._prepended: set[str] = set()
        for graph in self._graphs():
            for tensor in graph.initializer:
                self._owners[tensor.name] = (graph, tensor)
            for node in graph.node:
                if node.op_type in QUANTIZED_OPS:
                    raise UnsupportedModelError(
                        f"the model is quantised already: it has a {node.op_type}",
                        hint="take the float32 or float16 file of the same model",
                    )

    def matrices(self) -> list[Matrix]:
        """Every constant matrix that can be stored in another form, the embedding first."""
        embeddings = [found for graph in self._graphs() for found in self._lookups(graph)]
        vocab = max((self._shape(found.constant)[0] for found in embeddings), default=0)
        products = [found for graph in self._graphs() for found in self._products(graph, vocab)]
        return embeddings + products

    def values(self, matrix: Matrix) -> NDArray[Any]:
        """The matrix as (outputs, inputs), an embedding as (vocabulary, width)."""
        array: NDArray[Any] = self._arrays.to_array(self._owners[matrix.constant][1])
        return array if matrix.rows_are_outputs else array.T

    def dtype(self, matrix: Matrix) -> int:
        """The element type of the matrix: FLOAT or FLOAT16."""
        code: int = self._owners[matrix.constant][1].data_type
        return code

    def has_constant(self, name: str) -> bool:
        """Whether there is a constant of that name."""
        return name in self._owners

    def add_constant(self, name: str, values: NDArray[Any]) -> str:
        """A new constant that every graph sees; its name."""
        if name not in self._owners:
            tensor = self._arrays.from_array(np.ascontiguousarray(values), name)
            self.model.graph.initializer.append(tensor)
            self._owners[name] = (self.model.graph, self.model.graph.initializer[-1])
        return name

    def make_node(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str = "",
        **attributes: Any,
    ) -> Any:
        """A node that is not in a graph yet, named after its first output."""
        if domain:
            self._import_domain(domain)
        return self._helper.make_node(
            op, inputs, outputs, outputs[0], domain=domain or None, **attributes
        )

    def replace(self, matrix: Matrix, nodes: Sequence[Any]) -> None:
        """Put `nodes` where the matrix's node is; the last one has to give the same output."""
        graph = matrix.graph
        index = next(i for i, node in enumerate(graph.node) if node is matrix.node)
        nodes[-1].name = matrix.node.name
        del graph.node[index]
        for offset, node in enumerate(nodes):
            graph.node.insert(index + offset, node)

    def prepend(self, nodes: Sequence[Any]) -> None:
        """Put `nodes` before all others, where every graph sees what they give; each only once."""
        for node in reversed(nodes):
            if node.output[0] not in self._prepended:
                self._prepended.add(node.output[0])
                self.model.graph.node.insert(0, node)

    def rename_constant(self, name: str, to: str) -> None:
        """Free the name of a constant for a node that gives the same values."""
        graph, tensor = self._owners[name]
        tensor.name = to
        self._owners[to] = (graph, tensor)
        for value in [value for value in graph.input if value.name == name]:
            graph.input.remove(value)

    def prune(self) -> None:
        """Remove Transposes and constants that nobody uses any more."""
        used = self._used_names()
        for graph in self._graphs():
            _delete(graph.node, lambda n: n.op_type == "Transpose" and n.output[0] not in used)
        still_used = self._used_names()
        for graph in self._graphs():
            for values in (graph.initializer, graph.input, graph.value_info):
                _delete(values, lambda v: v.name in self._owners and v.name not in still_used)

    def _graphs(self) -> Iterator[Any]:
        return walk_graphs(self.model)

    def _lookups(self, graph: Any) -> Iterator[Matrix]:
        for node in graph.node:
            if node.op_type != "Gather" or node.input[1] != "input_ids":
                continue
            if self._is_matrix(node.input[0]) and _attribute(node, "axis", 0) == 0:
                yield Matrix(graph, node, node.input[0], "embedding", rows_are_outputs=True)

    def _products(self, graph: Any, vocab: int) -> Iterator[Matrix]:
        turned = {
            node.output[0]: node.input[0]
            for other in self._graphs()
            for node in other.node
            if node.op_type == "Transpose" and list(_attribute(node, "perm", ())) in ([], [1, 0])
        }
        for node in graph.node:
            if node.op_type != "MatMul" or node.domain not in ("", "ai.onnx"):
                continue
            is_turned = node.input[1] in turned
            name = turned[node.input[1]] if is_turned else node.input[1]
            if self._is_matrix(name):
                outputs = self._shape(name)[0 if is_turned else 1]
                is_head = node.output[0] == "logits" or outputs == vocab
                yield Matrix(graph, node, name, "head" if is_head else "layer", is_turned)

    def _is_matrix(self, name: str) -> bool:
        if name not in self._owners:
            return False
        tensor = self._owners[name][1]
        floats = (self._tensors.FLOAT, self._tensors.FLOAT16)
        return tensor.data_type in floats and len(tensor.dims) == 2

    def _shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._owners[name][1].dims)

    def _used_names(self) -> set[str]:
        names = {value.name for graph in self._graphs() for value in graph.output}
        for graph in self._graphs():
            for node in graph.node:
                names.update(node.input)
        return names

    def _import_domain(self, domain: str) -> None:
        if all(entry.domain != domain for entry in self.model.opset_import):
            self.model.opset_import.append(self._helper.make_opsetid(domain, 1))


def _delete(values: Any, is_idle: Callable[[Any], bool]) -> None:
    # By position: `remove` would compare whole messages, gigabytes of weights among them.
    for index in reversed([i for i, value in enumerate(values) if is_idle(value)]):
        del values[index]


def _attribute(node: Any, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return list(attribute.ints) or attribute.i
    return default
