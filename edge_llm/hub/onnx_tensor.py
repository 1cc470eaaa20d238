"""The constants of an ONNX file: how large they are, and whether their numbers are where they say.

Weights above 2 GB lie in files of their own; a path that leaves the model's folder is refused.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from struct import unpack_from

from edge_llm.errors import ModelFormatError, ModelNotFoundError, TruncatedModelError
from edge_llm.hub.onnx_types import ELEMENT_TYPES, ElementType, External, TensorInfo
from edge_llm.hub.onnx_wire import BYTES, Field, Span, WireReader

MAX_DIMS = 16
MAX_ELEMENTS = 1 << 40
FEW = 64
"""Integer tensors up to this long are shapes and axes; their numbers are kept."""

_EXTERNAL = 1
_TYPED_DATA = {4: 4, 5: 0, 7: 0, 10: 8, 11: 0}
"""Fields with numbers of one type each to the bytes of a number, 0 for varints."""


class TensorReader:
    """Reads `TensorProto` messages."""

    def __init__(self, wire: WireReader) -> None:
        self._wire = wire

    def read(self, span: Span) -> TensorInfo:
        """One tensor, its size checked against its data where that is inside of the file."""
        dims: list[int] = []
        name, code, location = "", 0, 0
        external: dict[str, str] = {}
        raw: Span | None = None
        typed: list[Field] = []
        for field in self._wire.fields(span):
            if field.number == 1:
                dims += self._wire.integers(field)
            elif field.number == 2:
                code = field.value
            elif field.number in _TYPED_DATA:
                typed.append(field)
            elif field.number == 8:
                name = self._wire.text(self._span(field))
            elif field.number == 9:
                raw = self._span(field)
            elif field.number == 13:
                entry = self._entry(self._span(field))
                external[entry[0]] = entry[1]
            elif field.number == 14:
                location = field.value
        element = self._element(name, code)
        shape = self._shape(name, dims)
        num_bytes = -(-prod(shape) * element.bits // 8)
        if location == _EXTERNAL:
            place = self._external(name, external, num_bytes)
            return TensorInfo(name, element.name, shape, num_bytes, place)
        self._check_size(name, element, shape, raw, typed)
        values = self._values(element, shape, raw, typed)
        offset = None if raw is None else raw.start
        return TensorInfo(name, element.name, shape, num_bytes, None, values, offset)

    def _element(self, name: str, code: int) -> ElementType:
        element = ELEMENT_TYPES.get(code)
        if element is None:
            raise self._wire.error(f"the constant {name!r} has the unknown type {code}")
        return element

    def _shape(self, name: str, dims: list[int]) -> tuple[int, ...]:
        if len(dims) > MAX_DIMS or min(dims, default=0) < 0 or prod(dims) > MAX_ELEMENTS:
            raise self._wire.error(f"the constant {name!r} has the shape {dims[:MAX_DIMS]}")
        return tuple(dims)

    def _entry(self, span: Span) -> tuple[str, str]:
        key = value = ""
        for field in self._wire.fields(span):
            if field.number == 1:
                key = self._wire.text(self._span(field))
            elif field.number == 2:
                value = self._wire.text(self._span(field))
        return key, value

    def _external(self, name: str, entries: dict[str, str], num_bytes: int) -> External:
        location = entries.get("location", "")
        path = PurePosixPath(location)
        outside = path.is_absolute() or ".." in path.parts or PureWindowsPath(location).drive
        if not location or outside or "\\" in location or "\0" in location:
            raise self._wire.error(
                f"the weights of {name!r} are said to be in {location!r}, outside of its folder"
            )
        offset = self._number(name, entries.get("offset", "0"))
        length = self._number(name, entries.get("length", str(num_bytes)))
        if length != num_bytes:
            raise self._wire.error(
                f"the weights of {name!r} are {num_bytes} bytes, but {length} are stored"
            )
        return External(path, offset, num_bytes)

    def _number(self, name: str, text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise self._wire.error(f"the weights of {name!r} are at {text[:20]!r}, not at a number")
        return int(text)

    def _check_size(
        self,
        name: str,
        element: ElementType,
        shape: tuple[int, ...],
        raw: Span | None,
        typed: list[Field],
    ) -> None:
        num_elements = prod(shape)
        if element.bits == 0:
            return  # strings, which no decoder computes with
        if raw is not None:
            expected, found, unit = -(-num_elements * element.bits // 8), raw.num_bytes, "bytes"
        else:
            expected, unit = num_elements, "numbers"
            if element.bits < 8:  # several in one number
                expected = -(-num_elements * element.bits // 8)
            if element.name.startswith("complex"):
                expected *= 2
            found = sum(self._wire.count(field, _TYPED_DATA[field.number]) for field in typed)
        if found != expected:
            raise self._wire.error(
                f"the constant {name!r} has {found} {unit} for a shape of {list(shape)}"
            )

    def _values(
        self,
        element: ElementType,
        shape: tuple[int, ...],
        raw: Span | None,
        typed: list[Field],
    ) -> tuple[int, ...] | None:
        count = prod(shape)
        if element.name not in ("int32", "int64", "bool") or count > FEW:
            return None
        if raw is None:
            return tuple(number for field in typed for number in self._wire.integers(field))
        code = {"int32": "i", "int64": "q", "bool": "B"}[element.name]
        return tuple(unpack_from(f"<{count}{code}", self._wire.data, raw.start))

    def _span(self, field: Field) -> Span:
        self._wire.require(field, BYTES)
        return field.span


def check_external(path: Path, tensors: Iterable[TensorInfo]) -> tuple[Path, ...]:
    """The files with weights that a model needs, all of them there and long enough.

    Raises:
        ModelNotFoundError: one is missing.
        TruncatedModelError: one ends before the weights in it do.
        ModelFormatError: one is no file, or lies elsewhere through a link.
    """
    needed: dict[PurePosixPath, int] = {}
    for tensor in tensors:
        if tensor.external is not None:
            place = tensor.external
            end = place.offset + place.num_bytes
            needed[place.location] = max(needed.get(place.location, 0), end)
    return tuple(_checked(path, location, end) for location, end in sorted(needed.items()))


def _checked(path: Path, location: PurePosixPath, end: int) -> Path:
    file = path.parent / location
    try:
        status = file.stat()
    except OSError as exc:
        raise ModelNotFoundError(
            f"{path.name!r} keeps its weights in {str(location)!r}, which is missing",
            hint=f"download it too, into {str(path.parent)!r}",
        ) from exc
    if not stat.S_ISREG(status.st_mode):
        raise ModelFormatError(f"{path.name!r} keeps its weights in {str(location)!r}, not a file")
    if status.st_size < end:
        raise TruncatedModelError(
            f"{str(file)!r} has {status.st_size} bytes, and the model needs {end}",
            hint="download it again",
        )
    return Path(os.path.normpath(file))
