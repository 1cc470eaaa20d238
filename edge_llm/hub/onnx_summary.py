"""What kind of model a graph is: how its weights are stored, and how it attends."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from edge_llm.hub.onnx_decoder import GROUPED, DecoderInterface
from edge_llm.hub.onnx_parse import OnnxFile
from edge_llm.hub.onnx_types import MICROSOFT

_BLOCKS = "MatMulNBits"
_GATHERED = "GatherBlockQuantized"
_WEIGHTS = frozenset(("float32", "float16", "bfloat16", "int8", "uint8", "int4", "uint4"))
_INTEGERS = frozenset(("MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"))


def op_counts(file: OnnxFile) -> Counter[str]:
    """Number of nodes by operator, those of inner graphs included; the domain unless standard."""
    return Counter(
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for graph in file.graph.walk()
        for node in graph.nodes
    )


def quantization(file: OnnxFile) -> str:
    """How most weights are stored: `int4`, `int8`, `float16`; the widest where it is mixed."""
    nodes = [node for graph in file.graph.walk() for node in graph.nodes]
    bits = {int(node.numbers.get("bits", 4)) for node in nodes if node.op_type == _BLOCKS}
    if bits:
        return "+".join(f"int{width}" for width in sorted(bits))
    if any(node.op_type in _INTEGERS for node in nodes):
        return "int8"
    stored: Counter[str] = Counter()
    for tensor in file.tensors:
        stored[tensor.dtype] += tensor.num_bytes
    return stored.most_common(1)[0][0] if stored else "none"


class StoredType(NamedTuple):
    """What is stored in one way."""

    num_tensors: int
    num_bytes: int
    num_parameters: int


def stored_types(file: OnnxFile) -> dict[str, StoredType]:
    """Constants by how they are stored, the way with the most bytes first.

    Weights in blocks (`int4 blocks`) include their scales and zero points, which are no parameters.
    """
    blocks, scales = _blocks(file)
    sums: dict[str, StoredType] = {}
    for tensor in file.tensors:
        bits = blocks.get(tensor.name) or scales.get(tensor.name)
        name = f"int{bits} blocks" if bits else tensor.dtype
        if tensor.name in blocks:
            count = tensor.num_bytes * 8 // blocks[tensor.name]
        else:
            count = tensor.num_elements if not bits and tensor.dtype in _WEIGHTS else 0
        known = sums.get(name, StoredType(0, 0, 0))
        sums[name] = StoredType(
            known.num_tensors + 1,
            known.num_bytes + tensor.num_bytes,
            known.num_parameters + count,
        )
    return dict(sorted(sums.items(), key=lambda item: -item[1].num_bytes))


def _blocks(file: OnnxFile) -> tuple[dict[str, int], dict[str, int]]:
    """Bits of the weights that are stored in blocks, and of what belongs to them, by tensor."""
    weights: dict[str, int] = {}
    others: dict[str, int] = {}
    for graph in file.graph.walk():
        for node in graph.nodes:
            if node.op_type in (_BLOCKS, _GATHERED):
                bits = int(node.numbers.get("bits", 4)) or 4
                at = 1 if node.op_type == _BLOCKS else 0
                weights[node.input(at)] = bits
                # Source: onnxruntime ContribOperators.md: scales and zero points come after.
                others |= {node.input(place): bits for place in (2, 3)}
    others.pop("", None)
    return weights, others


def attention_kind(file: OnnxFile, interface: DecoderInterface) -> str:
    """How the layers attend, for people: the operator, or `plain`, and what becomes of the past."""
    ops = op_counts(file)
    fused = next((op for op in _FUSED if ops[op]), "plain")
    if not interface.shares_buffer:
        return f"{fused}, the past grows"
    rows = "rows of any length" if interface.is_ragged else "rows of one length"
    return f"{fused}, past and present share a buffer, {rows}"


_FUSED = (
    f"{MICROSOFT}.{GROUPED}",
    f"{MICROSOFT}.MultiHeadAttention",
    f"{MICROSOFT}.DecoderMaskedMultiHeadAttention",
    "Attention",
)
