"""The KV state of one sequence as bytes: a header, then keys and values layer by layer.

What the bytes belong to is the caller's to know; the header refuses what cannot fit at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_llm.errors import BackendError
from edge_llm.hub.onnx import DecoderInterface

_MAGIC = b"ekv1"
_HEADER = Struct("<4sIIQ")  # magic, number of parts, bytes of a number, tokens


def pack_state(parts: Sequence[NDArray[Any]]) -> bytes:
    """Keys and values (heads, tokens, head_size) of a sequence as bytes."""
    header = _HEADER.pack(_MAGIC, len(parts), parts[0].itemsize, parts[0].shape[1])
    return header + b"".join(part.tobytes() for part in parts)


def unpack_state(
    state: bytes, interface: DecoderInterface, max_len: int
) -> list[NDArray[np.generic]]:
    """What `pack_state` was given: views of the bytes.

    Raises:
        BackendError: it belongs to another model or other settings.
    """
    dtype = np.dtype(interface.cache_dtype)
    if len(state) < _HEADER.size:
        raise _misfit()
    magic, num_parts, width, length = _HEADER.unpack_from(state)
    wanted = (_MAGIC, len(interface.pairs), dtype.itemsize)
    if (magic, num_parts, width) != wanted or not 0 <= length <= max_len:
        raise _misfit()
    shapes = [(pair.num_heads, int(length), pair.head_size) for pair in interface.pairs]
    if len(state) - _HEADER.size != sum(map(prod, shapes)) * dtype.itemsize:
        raise _misfit()
    parts = []
    offset = _HEADER.size
    for shape in shapes:
        parts.append(np.frombuffer(state, dtype, prod(shape), offset).reshape(shape))
        offset += parts[-1].nbytes
    return parts


def _misfit() -> BackendError:
    return BackendError("the sequence state does not fit this model and its settings")
