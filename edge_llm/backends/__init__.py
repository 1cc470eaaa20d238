"""One loaded model behind one contract: rows of token ids in, rows of logits out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_llm.backends.base import Backend
    from edge_llm.config import EdgeConfig


def load_backend(path: Path, config: EdgeConfig) -> Backend:
    """The backend for a model, loaded: a GGUF file, an ONNX file, or a folder with one.

    Raises:
        ModelError: the file cannot be run here.
    """
    # Imported here so that a runtime for one format never loads the other's library.
    if path.suffix == ".onnx" or path.is_dir():
        from edge_llm.backends.onnx.load import load_onnx

        return load_onnx(path, config)
    from edge_llm.backends.llama_cpp.backend import load_llama_cpp

    return load_llama_cpp(path, config)
