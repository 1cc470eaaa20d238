"""Whether onnxruntime can be trusted with a graph: operators it knows, numbers that fit.

Its kernels check most of what they are given and raise. What is here is what they do not check.
"""

from __future__ import annotations

from edge_llm.errors import ModelFormatError, UnsupportedModelError
from edge_llm.hub.onnx_parse import OnnxFile
from edge_llm.hub.onnx_types import MICROSOFT, Node

KNOWN_DOMAINS = frozenset(
    ("", MICROSOFT, "ai.onnx.ml", "com.microsoft.nchwc", "pkg.onnxscript.torch_lib")
)

_READS_FILES = frozenset(("EPContext",))


def check_runnable(file: OnnxFile) -> None:
    """Return when every node may be given to onnxruntime.

    Raises:
        UnsupportedModelError: an operator of nobody this runtime knows; names the node.
        ModelFormatError: a node whose numbers cannot be right.
    """
    for graph in file.graph.walk():
        for node in graph.nodes:
            _check_operator(file, node)


def _check_operator(file: OnnxFile, node: Node) -> None:
    if (node.domain, node.op_type) in file.functions:
        return
    if node.domain not in KNOWN_DOMAINS or node.op_type in _READS_FILES:
        raise UnsupportedModelError(
            f"{file.path.name!r} cannot be run: {node.label} is not an operator of onnxruntime",
            hint="another export of the model may work",
        )
    if not node.op_type:
        raise ModelFormatError(f"{file.path.name!r} is damaged: a node has no operator")
