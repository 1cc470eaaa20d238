"""Real vocabularies and chat templates from `EDGE_LLM_PEERS`, and copies with tokens renamed."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4
"""GGUF token types."""

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9


def vocabulary_path(name: str) -> Path:
    """`ggml-vocab-<name>.gguf` of the peers; skips the test where there is none."""
    return _peer(f"vocabularies/ggml-vocab-{name}.gguf")


def vector_paths(name: str) -> tuple[Path, Path]:
    """The texts and the expected tokens that llama.cpp keeps beside a vocabulary."""
    return (
        _peer(f"vocabularies/ggml-vocab-{name}.gguf.inp"),
        _peer(f"vocabularies/ggml-vocab-{name}.gguf.out"),
    )


def template_source(name: str) -> str:
    """`<name>.jinja` of the peers; skips the test where there is none."""
    return _peer(f"templates/{name}.jinja").read_text(encoding="utf-8")


def _peer(relative: str) -> Path:
    folder = os.environ.get("EDGE_LLM_PEERS")
    if not folder:
        pytest.skip("EDGE_LLM_PEERS is not set")
    path = Path(folder) / relative
    if not path.is_file():
        pytest.skip(f"EDGE_LLM_PEERS has no {relative}")
    return path


def rename_tokens(source: Path, target: Path, renames: Mapping[str, tuple[str, int]]) -> None:
    """Write a copy of a vocabulary with tokens renamed: old text to (new text, token type)."""
    data = source.read_bytes()
    assert data[:4] == b"GGUF"
    num_pairs: int = struct.unpack_from("<Q", data, 16)[0]
    old = {text.encode(): new for text, new in renames.items()}
    changed: dict[int, int] = {}
    out = [data[:24]]
    position = 24
    for _ in range(num_pairs):
        start = position
        key, position = _read_string(data, position)
        kind: int = struct.unpack_from("<I", data, position)[0]
        value = position + 4
        position = _skip_value(data, value, kind)
        if key == b"tokenizer.ggml.tokens":
            out += [data[start : value + 12], _renamed(data, value, old, changed)]
        elif key == b"tokenizer.ggml.token_type":
            out += [data[start : value + 12], _retyped(data, value, changed)]
        else:
            out.append(data[start:position])
    assert len(changed) == len(old), f"not in the vocabulary: {set(old)}"
    target.write_bytes(b"".join(out) + data[position:])


def _renamed(
    data: bytes, array: int, old: Mapping[bytes, tuple[str, int]], changed: dict[int, int]
) -> bytes:
    """The elements of the token array, renamed; fills `changed` with id to token type."""
    count: int = struct.unpack_from("<Q", data, array + 4)[0]
    position = array + 12
    out = []
    for token_id in range(count):
        text, position = _read_string(data, position)
        if text in old:
            new, changed[token_id] = old[text]
            text = new.encode()
        out.append(struct.pack("<Q", len(text)) + text)
    return b"".join(out)


def _retyped(data: bytes, array: int, changed: Mapping[int, int]) -> bytes:
    count: int = struct.unpack_from("<Q", data, array + 4)[0]
    types = list(struct.unpack_from(f"<{count}i", data, array + 12))
    for token_id, kind in changed.items():
        types[token_id] = kind
    return struct.pack(f"<{count}i", *types)


def _read_string(data: bytes, position: int) -> tuple[bytes, int]:
    size: int = struct.unpack_from("<Q", data, position)[0]
    start = position + 8
    return data[start : start + size], start + size


def _skip_value(data: bytes, position: int, kind: int) -> int:
    if kind == _STRING:
        return _read_string(data, position)[1]
    if kind != _ARRAY:
        return position + _SIZES[kind]
    element, count = struct.unpack_from("<IQ", data, position)
    position += 12
    if element != _STRING:
        return position + int(_SIZES[element]) * int(count)
    for _ in range(count):
        position = _read_string(data, position)[1]
    return position
