"""ONNX models, read and judged in Python before native code sees them.

The door to the `onnx_*` modules: `find_model` chooses a file, `read_onnx` parses, `read_decoder`
judges, `read_config` sums up what stands beside it.
"""

from __future__ import annotations

from edge_llm.hub.onnx_check import check_runnable
from edge_llm.hub.onnx_config import OnnxConfig, read_config
from edge_llm.hub.onnx_decoder import CachePair, DecoderInterface, read_decoder
from edge_llm.hub.onnx_folder import OnnxFolder, find_model
from edge_llm.hub.onnx_parse import OnnxFile, read_onnx
from edge_llm.hub.onnx_summary import attention_kind, op_counts, quantization, stored_types

__all__ = [
    "CachePair",
    "DecoderInterface",
    "OnnxConfig",
    "OnnxFile",
    "OnnxFolder",
    "attention_kind",
    "check_runnable",
    "find_model",
    "op_counts",
    "quantization",
    "read_config",
    "read_decoder",
    "read_onnx",
    "stored_types",
]
