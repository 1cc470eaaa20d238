"""GGUF files, read and judged in Python before native code sees them.

The door to the `gguf_*` modules: `read_gguf` parses, `check_loadable` judges,
`GGUFFile.info` sums up.
"""

from __future__ import annotations

from edge_llm.hub.gguf_check import check_loadable
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_info import GGUFModelInfo
from edge_llm.hub.gguf_parse import read_gguf
from edge_llm.hub.gguf_types import GGMLType, GGUFArray, GGUFValue, TensorInfo, ValueType

__all__ = [
    "GGMLType",
    "GGUFArray",
    "GGUFFile",
    "GGUFModelInfo",
    "GGUFValue",
    "TensorInfo",
    "ValueType",
    "check_loadable",
    "read_gguf",
]
