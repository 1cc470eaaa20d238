"""Quantise models, with a report of size, speed and quality lost."""

from edge_llm.quantize.options import Method, QuantizeOptions
from edge_llm.quantize.report import QuantizeReport
from edge_llm.quantize.run import quantize_onnx

__all__ = ["Method", "QuantizeOptions", "QuantizeReport", "quantize_onnx"]
