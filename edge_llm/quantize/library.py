"""The one door to the `onnx` package, which only quantising needs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from edge_llm.errors import ConfigError, ModelFormatError


def load_onnx_library() -> ModuleType:
    """The `onnx` module with its helpers.

    Raises:
        ConfigError: it is not installed, or cannot be loaded.
    """
    hint = "pip install 'edge-llm[quantize]'"
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ModuleNotFoundError as exc:
        raise ConfigError("quantising needs the onnx package", hint=hint) from exc
    except (ImportError, OSError) as exc:
        raise ConfigError(f"the onnx package cannot be loaded: {exc}", hint=hint) from exc
    library: ModuleType = onnx
    return library


def read_model(library: ModuleType, path: Path) -> Any:
    """The `ModelProto` at `path`, weights included, those in other files as well.

    The file was judged by `edge_llm.hub` before: where weights lie is trusted here.

    Raises:
        ModelFormatError: it cannot be read after all.
    """
    from google.protobuf.message import DecodeError

    try:
        model = library.load(path, load_external_data=False)
        # Not left to the package: it refuses links, which is what Hugging Face's cache is made of.
        for graph in walk_graphs(model):
            for tensor in graph.initializer:
                if tensor.data_location == library.TensorProto.EXTERNAL:
                    _read_weights(library, tensor, path.parent)
    except (DecodeError, OSError, ValueError) as exc:
        raise ModelFormatError(f"{path.name!r} cannot be read: {exc}") from exc
    return model


def walk_graphs(model: Any) -> Iterator[Any]:
    """The main graph and every branch in it."""
    stack = [model.graph]
    while stack:
        graph = stack.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    stack.append(attribute.g)
                stack.extend(attribute.graphs)


def _read_weights(library: ModuleType, tensor: Any, folder: Path) -> None:
    place = {entry.key: entry.value for entry in tensor.external_data}
    dtype = library.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    length = int(place.get("length", dtype.itemsize * math.prod(tensor.dims)))
    with (folder / place["location"]).open("rb") as stream:
        stream.seek(int(place.get("offset", 0)))
        tensor.raw_data = stream.read(length)
    del tensor.external_data[:]
    tensor.ClearField("data_location")
