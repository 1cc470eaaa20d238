"""What kind of model a graph is: how its weights are stored, and how it attends."""

from __future__ import annotations

from collections import Counter

from edge_llm.hub.onnx_decoder import GROUPED, DecoderInterface
from edge_llm.hub.onnx_parse import OnnxFile
from edge_llm.hub.onnx_types import MICROSOFT

_BLOCKS = "MatMulNBits"
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
