"""Stores the matrices of a graph in fewer bits, each as the options say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_llm.errors import ConfigError, ModelFormatError, UnsupportedModelError
from edge_llm.quantize.blocks import Blocks, quantize_blocks, quantize_rows
from edge_llm.quantize.graph import CONTRIB, GraphEditor, Matrix
from edge_llm.quantize.options import QuantizeOptions, Treatment

_INT8_OPSET = 11
"""Source: onnx Operators.md, DynamicQuantizeLinear-11."""


@dataclass(frozen=True, slots=True)
class RewrittenMatrix:
    """What became of one matrix."""

    name: str
    role: str
    treatment: Treatment
    note: str = ""
    """Why it was kept, where the options did not ask for that."""


class _Table(NamedTuple):
    """An embedding that was stored in blocks."""

    values: NDArray[Any]
    constant: str
    treatment: Treatment

    def is_head(self, matrix: Matrix, values: NDArray[Any], treatment: Treatment) -> bool:
        """Whether a matrix is the head, the same numbers once more, and stored in the same way."""
        if matrix.role != "head" or treatment != self.treatment:
            return False
        return matrix.constant == self.constant or np.array_equal(values, self.values)


def rewrite_model(
    library: ModuleType,
    model: Any,
    options: QuantizeOptions,
    report_progress: Callable[[int, int], None] | None = None,
) -> tuple[RewrittenMatrix, ...]:
    """Change `model` in place; what became of each matrix.

    Raises:
        UnsupportedModelError: it is quantised already, or has nothing to quantise.
        ModelFormatError: a weight is no number.
        ConfigError: a pattern of `keep` matches nothing.
    """
    return _Rewriter(library, model, options).run(report_progress)


class _Rewriter:
    def __init__(self, library: ModuleType, model: Any, options: QuantizeOptions) -> None:
        self._editor = GraphEditor(library, model)
        self._types = library.TensorProto
        self._options = options
        self._opset = max((e.version for e in model.opset_import if not e.domain), default=0)
        self._quantized_inputs: dict[tuple[int, str], tuple[str, str, str]] = {}
        self._table: _Table | None = None

    def run(
        self, report_progress: Callable[[int, int], None] | None
    ) -> tuple[RewrittenMatrix, ...]:
        matrices = self._editor.matrices()
        _check_patterns(self._options.keep, matrices)
        results = []
        for index, matrix in enumerate(matrices):
            results.append(self._rewrite(matrix))
            if report_progress is not None:
                report_progress(index + 1, len(matrices))
        self._editor.prune()
        if all(result.treatment == "keep" for result in results):
            raise UnsupportedModelError(
                "nothing in the model can be quantised",
                hint="its matrices are no constants of 2 dimensions, or all of them are kept",
            )
        return tuple(results)

    def _rewrite(self, matrix: Matrix) -> RewrittenMatrix:
        treatment = self._treatment(matrix)
        if treatment != "keep" and not np.isfinite(self._editor.values(matrix)).all():
            raise ModelFormatError(f"the weights {matrix.constant!r} are not all numbers")
        note = self._obstacle(matrix, treatment)
        if note:
            treatment = "keep"
        if treatment == "int8":
            self._store_int8(matrix)
        elif treatment == "disk8":
            self._store_on_disk(matrix)
        elif treatment != "keep":
            self._store_blocks(matrix, treatment)
        return RewrittenMatrix(matrix.label, matrix.role, treatment, note)

    def _treatment(self, matrix: Matrix) -> Treatment:
        if any(_matches(pattern, matrix) for pattern in self._options.keep):
            return "keep"
        if matrix.role == "embedding":
            return self._options.embedding_treatment
        return self._options.head_treatment if matrix.role == "head" else self._options.method

    def _obstacle(self, matrix: Matrix, treatment: Treatment) -> str:
        if treatment == "int8" and self._opset < _INT8_OPSET:
            return f"int8 needs opset {_INT8_OPSET}, and the model has {self._opset}"
        if matrix.role == "embedding" and treatment in ("q4", "q8"):
            width = self._editor.values(matrix).shape[1]
            if width % self._options.block_size:
                return f"its width {width} is not a multiple of the block size"
        return ""

    def _store_blocks(self, matrix: Matrix, treatment: Treatment) -> None:
        values = self._editor.values(matrix)
        bits = 4 if treatment == "q4" else 8
        if matrix.role == "embedding":
            # Symmetric always: what is looked up here may be what the head multiplies with.
            blocks = quantize_blocks(values, bits, self._options.block_size)
            self._look_up(matrix, blocks)
            self._table = _Table(values, matrix.constant, treatment)
            return
        if self._table is not None and self._table.is_head(matrix, values, treatment):
            self._multiply_with_table(self._table.constant, matrix, values.shape, bits)
            return
        blocks = quantize_blocks(
            values, bits, self._options.block_size, symmetric=self._options.symmetric
        )
        name = f"{matrix.constant}_Q{bits}{'_rows' if matrix.rows_are_outputs else ''}"
        inputs = [
            self._editor.add_constant(name, blocks.packed),
            self._scales(f"{name}_scales", matrix, blocks.scales.reshape(-1)),
        ]
        if blocks.packed_zero_points is not None:
            zeros = blocks.packed_zero_points.reshape(-1)
            inputs.append(self._editor.add_constant(f"{name}_zero_points", zeros))
        self._multiply(matrix, inputs, values.shape, bits)

    def _multiply(
        self, matrix: Matrix, inputs: Sequence[str], shape: tuple[int, ...], bits: int
    ) -> None:
        node = self._editor.make_node(
            "MatMulNBits", [matrix.node.input[0], *inputs], list(matrix.node.output), CONTRIB,
            N=shape[0], K=shape[1], bits=bits, block_size=self._options.block_size,
            accuracy_level=self._options.accuracy_level,
        )  # fmt: skip
        self._editor.replace(matrix, [node])

    def _look_up(self, matrix: Matrix, blocks: Blocks) -> None:
        name = f"{matrix.constant}_Q{blocks.bits}_table"
        data = blocks.packed.reshape(len(blocks.levels), -1)
        scales = self._scales(f"{name}_scales", matrix, blocks.scales)
        node = self._editor.make_node(
            "GatherBlockQuantized",
            [self._editor.add_constant(name, data), matrix.node.input[1], scales],
            list(matrix.node.output), CONTRIB,
            gather_axis=0, quantize_axis=1, bits=blocks.bits,
            block_size=self._options.block_size,
        )  # fmt: skip
        self._editor.replace(matrix, [node])

    def _multiply_with_table(
        self, table: str, matrix: Matrix, shape: tuple[int, ...], bits: int
    ) -> None:
        """A head that shares the embedding's bytes; loading gives them the shape it needs."""
        name = f"{table}_Q{bits}_table"
        block_bytes = self._options.block_size * bits // 8
        parts = []
        for part, dims in ((name, (shape[0], -1, block_bytes)), (f"{name}_scales", (-1,))):
            sizes = self._editor.add_constant(f"{part}_shape", np.array(dims, np.int64))
            self._editor.prepend(
                [self._editor.make_node("Reshape", [part, sizes], [f"{part}_reshaped"])]
            )
            parts.append(f"{part}_reshaped")
        self._multiply(matrix, parts, shape, bits)

    def _scales(self, name: str, matrix: Matrix, scales: NDArray[np.float32]) -> str:
        """The scales in the type that the graph computes with."""
        is_half = self._editor.dtype(matrix) == self._types.FLOAT16
        return self._editor.add_constant(name, scales.astype(np.float16) if is_half else scales)

    def _store_int8(self, matrix: Matrix) -> None:
        largest = 63 if self._options.reduce_range else 127
        levels, scales = quantize_rows(self._editor.values(matrix), largest)
        name, output = f"{matrix.constant}_int8", matrix.node.output[0]
        nodes: list[Any] = []
        make = self._editor.make_node
        value, scale, zero = self._quantized_input(matrix, nodes)
        weight = self._editor.add_constant(name, levels.T)
        weight_scale = self._editor.add_constant(f"{name}_scales", scales)
        is_half = self._editor.dtype(matrix) == self._types.FLOAT16
        result = f"{output}_float" if is_half else output
        nodes += [
            make("MatMulInteger", [value, weight, zero], [f"{output}_int32"]),
            make("Cast", [f"{output}_int32"], [f"{output}_unscaled"], to=self._types.FLOAT),
            make("Mul", [scale, weight_scale], [f"{output}_scale"]),
            make("Mul", [f"{output}_unscaled", f"{output}_scale"], [result]),
        ]
        if is_half:
            nodes.append(make("Cast", [result], [output], to=self._types.FLOAT16))
        self._editor.replace(matrix, nodes)

    def _quantized_input(self, matrix: Matrix, nodes: list[Any]) -> tuple[str, str, str]:
        """The integers, the scale and the zero point of a product's input, made once for all."""
        value = matrix.node.input[0]
        key = (id(matrix.graph), value)
        if key not in self._quantized_inputs:
            source = value
            if self._editor.dtype(matrix) == self._types.FLOAT16:
                source = f"{value}_float"
                nodes.append(
                    self._editor.make_node("Cast", [value], [source], to=self._types.FLOAT)
                )
            names = (f"{value}_quantized", f"{value}_scale", f"{value}_zero_point")
            nodes.append(self._editor.make_node("DynamicQuantizeLinear", [source], names))
            self._quantized_inputs[key] = names
        return self._quantized_inputs[key]

    def _store_on_disk(self, matrix: Matrix) -> None:
        """Integers and scales in the file, and nodes that loading folds into one constant."""
        name = matrix.constant
        stored = f"{name}_disk8"
        if self._editor.has_constant(stored):
            return  # the same constant, used by the embedding before
        dtype = self._editor.dtype(matrix)
        values = self._editor.values(matrix)
        blocks = quantize_blocks(values, 8, self._options.block_size, half_scales=True)
        levels = (blocks.levels.astype(np.int16) - 128).astype(np.int8)
        scales = blocks.scales[..., None]
        with np.errstate(over="ignore"):
            halves = scales.astype(np.float16)
        is_exact = np.array_equal(halves.astype(np.float32), scales)
        parts = [
            self._editor.add_constant(stored, levels),
            self._editor.add_constant(f"{stored}_scales", halves if is_exact else scales),
            self._editor.add_constant(f"{stored}_shape", np.array((values.shape[0], -1), np.int64)),
        ]
        self._editor.rename_constant(name, f"{name}_replaced")
        self._editor.prepend(self._unpack(matrix, parts, values.shape[1], dtype))

    def _unpack(self, matrix: Matrix, parts: Sequence[str], columns: int, dtype: int) -> list[Any]:
        make, name = self._editor.make_node, matrix.constant
        levels, scales, shape = parts
        steps: list[tuple[str, list[str], dict[str, Any]]] = [
            ("Cast", [levels], {"to": self._types.FLOAT}),
            ("Mul", ["", f"{scales}_float"], {}),
            ("Reshape", ["", shape], {}),
        ]
        if columns % self._options.block_size:
            ends = [
                self._editor.add_constant(f"{levels}_{end}", np.array([number], np.int64))
                for end, number in (("start", 0), ("end", columns), ("axis", 1))
            ]
            steps.append(("Slice", ["", *ends], {}))
        if not matrix.rows_are_outputs:
            steps.append(("Transpose", [""], {"perm": [1, 0]}))
        if dtype != self._types.FLOAT:
            steps.append(("Cast", [""], {"to": dtype}))
        nodes = [make("Cast", [scales], [f"{scales}_float"], to=self._types.FLOAT)]
        before = ""
        for index, (op, inputs, attributes) in enumerate(steps):
            after = name if index == len(steps) - 1 else f"{levels}_{index}"
            nodes.append(make(op, [i or before for i in inputs], [after], **attributes))
            before = after
        return nodes


def _check_patterns(patterns: Sequence[str], matrices: Sequence[Matrix]) -> None:
    for pattern in patterns:
        if not any(_matches(pattern, matrix) for matrix in matrices):
            names = ", ".join(matrix.label for matrix in matrices[:4])
            raise ConfigError(
                f"keep {pattern!r} matches nothing in the model",
                hint=f"its matrices are {names} and so on; * stands for any letters",
            )


def _matches(pattern: str, matrix: Matrix) -> bool:
    return fnmatchcase(matrix.label, pattern) or fnmatchcase(matrix.constant, pattern)
