"""Protobuf's wire format, read field by field from bytes that nobody has checked.

Nothing is copied and nothing is trusted: every length is compared with what is left before it is
used. Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple, TypeAlias

from edge_llm.errors import ModelFormatError, TruncatedModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10
_SIGN = 1 << 63
_F32 = Struct("<f")

Buffer: TypeAlias = mmap.mmap | bytes


class Span(NamedTuple):
    """A run of bytes in the file: a string, a message or packed numbers."""

    start: int
    end: int

    @property
    def num_bytes(self) -> int:
        """How many bytes it is long."""
        return self.end - self.start


class Field(NamedTuple):
    """One field of a message."""

    number: int
    wire_type: int
    value: int
    """The number of a VARINT field; 0 for others."""
    span: Span
    """The content of a BYTES or fixed-width field."""


class WireReader:
    """Reads messages out of one file."""

    def __init__(self, data: Buffer, name: str) -> None:
        """`name` is what errors call the file."""
        self.data = data
        self.name = name

    def fields(self, span: Span) -> Iterator[Field]:
        """The fields of the message in `span`, in the order they are stored.

        Raises:
            TruncatedModelError: the message ends inside of a field.
            ModelFormatError: bytes that are no protobuf message.
        """
        position, end = span
        while position < end:
            tag, position = self._varint(position, end)
            number, wire_type = tag >> 3, tag & 7
            if number == 0 or number >= 1 << 29:
                raise self.error("it is not an ONNX file, or damaged: a field has no number")
            if wire_type == VARINT:
                value, position = self._varint(position, end)
                yield Field(number, wire_type, value, Span(position, position))
                continue
            if wire_type == BYTES:
                size, position = self._varint(position, end)
            elif wire_type in (FIXED32, FIXED64):
                size = 4 if wire_type == FIXED32 else 8
            else:
                raise self.error("it is not an ONNX file, or damaged: unknown wire type")
            if size > end - position:
                raise self._truncated()
            yield Field(number, wire_type, 0, Span(position, position + size))
            position += size

    def text(self, span: Span, limit: int = 1 << 16) -> str:
        """The string in `span`, which may have `limit` bytes.

        Raises:
            ModelFormatError: it is longer, or no UTF-8.
        """
        if span.num_bytes > limit:
            raise self.error(f"a name of {span.num_bytes} bytes")
        try:
            return self.data[span.start : span.end].decode("utf-8")
        except UnicodeDecodeError as exc:
            raise self.error("a name in it is not UTF-8") from exc

    def integers(self, field: Field) -> list[int]:
        """The signed integers of a repeated field, packed into one or on its own."""
        if field.wire_type == VARINT:
            return [signed(field.value)]
        self.require(field, BYTES)
        numbers = []
        position, end = field.span
        while position < end:
            value, position = self._varint(position, end)
            numbers.append(signed(value))
        return numbers

    def count(self, field: Field, width: int) -> int:
        """How many numbers a repeated field holds: `width` bytes each, or 0 for varints."""
        if field.wire_type != BYTES:
            return 1
        if width:
            return field.span.num_bytes // width
        # The last byte of each number has its highest bit unset.
        return len(self.data[field.span.start : field.span.end].translate(None, _CONTINUED))

    def float32(self, field: Field) -> float:
        """The number of a `float` field."""
        self.require(field, FIXED32)
        number: float = _F32.unpack_from(self.data, field.span.start)[0]
        return number

    def require(self, field: Field, wire_type: int) -> None:
        """Return when the field is stored as it should be.

        Raises:
            ModelFormatError: it is not.
        """
        if field.wire_type != wire_type:
            raise self.error(f"it is not an ONNX file, or damaged: field {field.number}")

    def error(self, problem: str) -> ModelFormatError:
        """The error that says that this file is wrong."""
        return ModelFormatError(
            f"{self.name!r}: {problem}",
            hint="the file is damaged or badly converted: download it again or take another one",
        )

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        data = self.data
        if position < end and (byte := data[position]) < 0x80:  # nearly all of them
            return byte, position + 1
        value = 0
        for shift in range(0, 7 * MAX_VARINT_BYTES, 7):
            if position >= end:
                raise self._truncated()
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (1 << 64) - 1, position
        raise self.error("it is not an ONNX file, or damaged: a number does not end")

    def _truncated(self) -> TruncatedModelError:
        return TruncatedModelError(
            f"{self.name!r} ends before its parts do, or is not an ONNX file",
            hint="download it again",
        )


_CONTINUED = bytes(range(0x80, 0x100))


def signed(value: int) -> int:
    """An unsigned 64-bit number as the `int64` that it stands for."""
    return value - (value & _SIGN) * 2
