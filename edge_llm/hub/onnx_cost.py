"""What writing one token takes, of an ONNX model: from its graph alone."""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType

from edge_llm.hub.decode_cost import DecodeCost
from edge_llm.hub.onnx_decoder import DecoderInterface
from edge_llm.hub.onnx_parse import OnnxFile
from edge_llm.hub.onnx_types import Node

_LOOKUPS = frozenset(("Gather", "GatherBlockQuantized", "GatherElements", "GatherND"))
"""They read the rows that are asked for."""

_BLOCKS = "MatMulNBits"
_BY_BITS = MappingProxyType({4: "Q4_0", 8: "Q8_0", 2: "Q2_K"})
_BY_TYPE = MappingProxyType({"float32": "F32", "float16": "F16", "int8": "Q8_0", "uint8": "Q8_0"})
_BY_PRECISION = MappingProxyType(
    {
        **dict.fromkeys(("q4", "q4f16", "bnb4", "int4"), "Q4_0"),
        **dict.fromkeys(("int8", "quantized", "uint8", "q8"), "Q8_0"),
        **dict.fromkeys(("fp16", "f16"), "F16"),
    }
)
"""The type of ggml with the same number of bits."""

_SHARES = MappingProxyType({"Q4_0": 0.36, "Q8_0": 0.52})
"""Speed of onnxruntime 1.31's kernels to ggml's. Fitted to one machine with AVX-512, so rough."""


def onnx_decode_cost(file: OnnxFile, interface: DecoderInterface) -> DecodeCost:
    """What a token reads of the model, its weights under ggml's names for the same widths."""
    graphs = list(file.graph.walk())
    nodes = [node for graph in graphs for node in graph.nodes]
    tensors = {name: t for graph in graphs for name, t in graph.initializers.items()}
    packed, computed = _packed(nodes), _computed(nodes)
    weights: Counter[str] = Counter()
    for name, tensor in tensors.items():
        if name in computed:
            kind = packed.get(name) or _BY_TYPE.get(tensor.dtype, "F32")
            weights[kind] += tensor.num_bytes
    return DecodeCost(
        MappingProxyType(dict(weights)),
        kv_bytes=interface.cache_bytes_per_token,
        num_layers=len(interface.pairs) // 2,
        kernel_share=_SHARES.get(max(weights, key=lambda kind: weights[kind], default=""), 1.0),
    )


def onnx_cost_of_size(weight_bytes: int, quant: str, kv_bytes: int = 0) -> DecodeCost:
    """The cost of a model of which only sizes and the name of its precision are known: `q4f16`.

    A little too high: the rows of the embedding that a token does not look up count as read.
    """
    kind = _BY_PRECISION.get(quant.lower(), "F32")
    weights = MappingProxyType({kind: weight_bytes})
    return DecodeCost(weights, kv_bytes=kv_bytes, kernel_share=_SHARES.get(kind, 1.0))


def _computed(nodes: list[Node]) -> frozenset[str]:
    """Constants that some node reads whole."""
    return frozenset(
        name for node in nodes if node.op_type not in _LOOKUPS for name in node.inputs if name
    )


def _packed(nodes: list[Node]) -> dict[str, str]:
    """Quantised matrices: the constants of a product in blocks, by its number of bits."""
    return {
        name: _BY_BITS.get(int(node.numbers.get("bits", 4)), "Q4_0")
        for node in nodes
        if node.op_type == _BLOCKS
        for name in node.inputs[1:2]
    }
