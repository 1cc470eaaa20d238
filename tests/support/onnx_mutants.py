"""Damaged copies of ONNX files and tokenizers, reproducible from a seed.

Files are changed byte by byte, where the structure breaks, or taken apart, changed and written
again: sound as protobuf or JSON, and wrong as models.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from struct import pack
from typing import Any, NamedTuple

from edge_llm.hub.onnx_wire import BYTES, FIXED32, VARINT, Span, WireReader
from tests.support.onnx_wire import key, varint

NUMBERS = (0, 1, 2, 3, 5, 7, 8, 16, 31, 64, 255, 4096, 1 << 20, 1 << 31, 1 << 40, 1 << 62, -1, -8)
FLOATS = (0.0, -1.0, 1e-30, 1e30, math.inf, math.nan)
OPERATORS = (
    "MatMul", "Add", "Identity", "Gather", "GroupQueryAttention", "Loop", "If", "Scan", "Reshape",
    "Softmax", "Concat", "Slice", "NoSuchOperator", "", "MultiHeadAttention", "MatMulNBits", "Cast",
)  # fmt: skip

_SCHEMA: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 8: "opset"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph"},
    "tensor": {13: "entry"},
    "value": {2: "type"},
    "type": {1: "tensor_type"},
    "tensor_type": {2: "shape"},
    "shape": {1: "dim"},
    "opset": {}, "entry": {}, "dim": {},
}  # fmt: skip
"""Which fields of which message are messages themselves."""


class Mutant(NamedTuple):
    """A damaged file."""

    label: str
    data: bytes


@dataclass
class Item:
    """One field: a number, bytes, or a message taken apart."""

    number: int
    wire_type: int
    value: Any
    kind: str = ""

    def encode(self) -> bytes:
        """The field as bytes."""
        if self.wire_type == VARINT:
            return key(self.number, VARINT) + varint(self.value & (1 << 64) - 1)
        if self.wire_type == FIXED32:
            return key(self.number, FIXED32) + bytes(self.value)
        content: bytes = encode(self.value) if self.kind else self.value
        return key(self.number, BYTES) + varint(len(content)) + content


def parse(data: bytes, kind: str = "model") -> list[Item]:
    """A message taken apart."""
    wire = WireReader(data, "base")
    items = []
    for field in wire.fields(Span(0, len(data))):
        content: Any = field.value
        inner = _SCHEMA[kind].get(field.number, "")
        if field.wire_type != VARINT:
            content = data[field.span.start : field.span.end]
            content = parse(content, inner) if inner else content
        items.append(Item(field.number, field.wire_type, content, inner))
    return items


def encode(items: list[Item]) -> bytes:
    """A message put together again."""
    return b"".join(item.encode() for item in items)


def onnx_mutants(base: bytes, count: int, seed: int) -> Iterator[Mutant]:
    """So many damaged copies of an ONNX file."""
    rng = Random(seed)
    whole = parse(base)
    for _ in range(count):
        if rng.random() < 0.35:
            yield _damaged(base, rng)
        else:
            yield _rebuilt(whole, rng)


def _damaged(base: bytes, rng: Random) -> Mutant:
    data = bytearray(base)
    choice = rng.randrange(4)
    if choice == 0:
        end = rng.randrange(len(data))
        return Mutant(f"cut at {end}", bytes(data[:end]))
    if choice == 1:
        position = rng.randrange(len(data))
        data[position : position + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(9))
        return Mutant(f"replaced at {position}", bytes(data))
    places = [rng.randrange(len(data)) for _ in range(rng.randrange(1, 4))]
    for place in places:
        data[place] ^= 1 << rng.randrange(8)
    return Mutant(f"bits at {places}", bytes(data))


def _rebuilt(whole: list[Item], rng: Random) -> Mutant:
    items = copy.deepcopy(whole)
    labels = [_change(items, rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    return Mutant("; ".join(labels), encode(items))


def _change(items: list[Item], rng: Random) -> str:
    """Change one field somewhere below; messages are entered more often than changed."""
    path = ""
    while True:
        if not items:
            return path + " empty"
        # Graphs have far more fields in nodes and constants than beside them.
        index = rng.randrange(len(items))
        item = items[index]
        path += f"/{item.number}[{index}]"
        if item.kind and rng.random() < 0.9:
            items = item.value
            continue
        return path + " " + _change_field(items, index, rng)


def _change_field(items: list[Item], index: int, rng: Random) -> str:
    item = items[index]
    choice = rng.random()
    if choice < 0.12:
        del items[index]
        return "dropped"
    if choice < 0.2:
        items.insert(rng.randrange(len(items) + 1), copy.deepcopy(item))
        return "repeated"
    if choice < 0.28:
        other = rng.randrange(len(items))
        items[index], items[other] = items[other], item
        return f"exchanged with {other}"
    if item.wire_type == VARINT:
        item.value = rng.choice(NUMBERS)
        return f"= {item.value}"
    if item.wire_type == FIXED32:
        item.value = pack("<f", rng.choice(FLOATS))
        return "= float"
    if item.kind:
        item.value = []
        return "emptied"
    item.value = _changed_bytes(item, items, rng)
    return f"= {item.value[:20]!r}"


def _changed_bytes(item: Item, items: list[Item], rng: Random) -> bytes:
    value: bytes = item.value
    choice = rng.randrange(5)
    if choice == 0 and len(value) < 64:
        return rng.choice(OPERATORS).encode()
    names = [i.value for i in items if i.wire_type == BYTES and not i.kind]
    if choice == 1 and names:
        return bytes(rng.choice(names))
    if choice == 2:
        return value[: rng.randrange(len(value) + 1)]
    if choice == 3:
        return value + rng.randbytes(rng.randrange(1, 9))
    changed = bytearray(value or b"x")
    changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def json_mutants(base: Any, count: int, seed: int) -> Iterator[Mutant]:
    """So many damaged copies of a JSON value, as files."""
    rng = Random(seed)
    text = json.dumps(base, ensure_ascii=False).encode()
    for _ in range(count):
        if rng.random() < 0.3:
            yield _damaged(text, rng)
            continue
        value = copy.deepcopy(base)
        labels = [_change_json(value, rng) for _ in range(rng.choice((1, 1, 2)))]
        yield Mutant("; ".join(labels), json.dumps(value, ensure_ascii=False).encode())


def _change_json(value: Any, rng: Random) -> str:
    path = ""
    while True:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return path + " empty"
        chosen = rng.choice(keys)
        path += f"/{chosen}"
        if isinstance(value[chosen], dict | list) and rng.random() < 0.85:
            value = value[chosen]
            continue
        change = rng.choice(_JSON_CHANGES)
        return f"{path} {change(value, chosen, rng)}"


def _drop(value: Any, chosen: Any, rng: Random) -> str:
    del value[chosen]
    return "dropped"


def _replace(value: Any, chosen: Any, rng: Random) -> str:
    value[chosen] = rng.choice(_JSON_VALUES)
    return f"= {value[chosen]!r:.30}"


def _rename(value: Any, chosen: Any, rng: Random) -> str:
    if not isinstance(value, dict):
        return _replace(value, chosen, rng)
    value[rng.choice(("", "type", "a", "<unk>", "▁", "é" * 50))] = value.pop(chosen)
    return "renamed"


_JSON_CHANGES: tuple[Callable[[Any, Any, Random], str], ...] = (_drop, _replace, _rename)
_JSON_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1 << 31, (1 << 32) - 1, 1 << 64, "", "a", "Metaspace", "Unigram", "BPE",
    "WordPiece", "ByteLevel", "first", [], [[]], {}, {"type": "Strip"}, "(((((", "x" * 1000,
    {"Regex": "(a+)+$"}, {"String": ""}, {"type": "Replace", "pattern": {"Regex": "("}},
)  # fmt: skip
