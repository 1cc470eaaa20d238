"""GGUF files to `GGUFFile`, with every count and length checked before it is used.

Only the structure is judged here: whether llama.cpp can run the model is `gguf_check`'s question.
Source of the layout: docs/gguf.md and ggml/src/gguf.cpp, ggml 0.25.3.
"""

from __future__ import annotations

import mmap
import stat
from pathlib import Path
from struct import error as StructError
from types import MappingProxyType

from edge_llm.errors import (
    ModelError,
    ModelFormatError,
    ModelNotFoundError,
    NotGGUFError,
    TruncatedModelError,
    UnsupportedModelError,
)
from edge_llm.hub.gguf_file import GGUFFile
from edge_llm.hub.gguf_split import join_parts
from edge_llm.hub.gguf_types import (
    GGML_TYPES,
    I32,
    SCALARS,
    U32,
    U64,
    GGUFArray,
    GGUFValue,
    TensorInfo,
    ValueType,
)

MAGIC = b"GGUF"
HEADER_BYTES = 24
DEFAULT_ALIGNMENT = 32
MIN_ALIGNMENT = 32
"""llama.cpp maps tensors in place and aborts on a smaller one (TENSOR_ALIGNMENT, ggml-impl.h)."""

MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 17
MAX_KEY_BYTES = (1 << 16) - 1
MAX_TENSOR_NAME_BYTES = 63
MAX_DIMS = 4
MAX_ARRAY_LENGTH = 1 << 24
"""64 times the largest vocabulary in use (262k tokens)."""
MAX_METADATA_BYTES = 1 << 28
"""All metadata is held in memory, here and again in llama.cpp; real files stay below 32 MB."""

MIN_KEY_BYTES = 8 + 1 + 4 + 1
MIN_TENSOR_BYTES = 8 + 4 + 4 + 8

_DOWNLOAD_AGAIN = "download it again"


def read_gguf(path: Path) -> GGUFFile:
    """Everything but the weights of a GGUF file, with a structure that is known to be sound.

    The first part of a split model stands for the whole of it.

    Raises:
        ModelNotFoundError: there is no such file.
        NotGGUFError: another kind of file.
        TruncatedModelError: the file ends too early.
        UnsupportedModelError: big-endian, or a version of the format that llama.cpp does not read.
        ModelFormatError: the file contradicts itself.
    """
    return join_parts(_read_file(Path(path)), _read_file)


def _read_file(path: Path) -> GGUFFile:
    try:
        # Opening a pipe would wait for a writer, and reading a device might never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ModelNotFoundError(f"{str(path)!r} is not a file", hint="name the .gguf file")
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            if size < HEADER_BYTES:
                stream.seek(0)
                _require_magic(path, stream.read())
                raise TruncatedModelError(
                    f"{str(path)!r} has {size} bytes, not even a whole header",
                    hint=_DOWNLOAD_AGAIN,
                )
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _parse(path, data)
    except FileNotFoundError as exc:
        raise ModelNotFoundError(
            f"there is no model file {str(path)!r}", hint="check the path"
        ) from exc
    except OSError as exc:
        raise ModelError(f"cannot read {str(path)!r}: {exc.strerror or exc}") from exc


def _parse(path: Path, data: mmap.mmap) -> GGUFFile:
    _require_magic(path, data[:32])
    version = U32.unpack_from(data, 4)[0]
    _require_version(path, version)
    cursor = _Cursor(path, data, 8)
    num_tensors = cursor.count("tensors", MIN_TENSOR_BYTES, MAX_TENSORS)
    num_keys = cursor.count("metadata entries", MIN_KEY_BYTES, MAX_KEYS)
    metadata, types = _read_metadata(cursor, num_keys)
    alignment = _alignment(path, metadata, types)
    tensors = _read_tensor_infos(cursor, num_tensors)
    data_offset = _padded(cursor.position, alignment)
    _check_layout(cursor, tensors, data_offset, alignment)
    return GGUFFile(
        path=path,
        version=version,
        metadata=MappingProxyType(metadata),
        types=MappingProxyType(types),
        tensors=MappingProxyType(tensors),
        alignment=alignment,
        data_offset=data_offset,
        file_bytes=len(data),
    )


_A_PAGE = "the download link led to a page, not to the file"
_OTHER_FORMATS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file that it points to"),
    (b"<!", "a web page", _A_PAGE),
    (b"<html", "a web page", _A_PAGE),
    (b"<?xml", "a web page", _A_PAGE),
    (b"PK\x03\x04", "a zip archive or a PyTorch checkpoint", "convert it to GGUF first"),
    (b"lmgg", "a GGML file from before August 2023", "convert the original model again"),
    (b"fmgg", "a GGML file from before August 2023", "convert the original model again"),
    (b"tjgg", "a GGML file from before August 2023", "convert the original model again"),
)


def _require_magic(path: Path, head: bytes) -> None:
    if head[:4] == MAGIC:
        return
    if not head:
        raise NotGGUFError(f"{str(path)!r} is empty", hint=_DOWNLOAD_AGAIN)
    kind, hint = f"begins with {head[:4]!r}", "a GGUF file begins with b'GGUF'"
    for magic, name, advice in _OTHER_FORMATS:
        if head.lstrip().startswith(magic):
            kind, hint = f"is {name}", advice
            break
    else:
        if head[8:9] == b"{":
            kind, hint = "is a safetensors file", "convert it to GGUF first"
    raise NotGGUFError(f"{str(path)!r} is not a GGUF file: it {kind}", hint=hint)


def _require_version(path: Path, version: int) -> None:
    if version in (2, 3):
        return
    if version and version & 0xFFFF == 0:
        raise UnsupportedModelError(
            f"{str(path)!r} is a big-endian GGUF file", hint="take the little-endian one"
        )
    raise UnsupportedModelError(
        f"{str(path)!r} is a GGUF file of version {version}; 2 and 3 can be read",
        hint="convert the model again" if version < 2 else "update edge_llm",
    )


class _Cursor:
    """A position in the mapped file that can only move within it."""

    def __init__(self, path: Path, data: mmap.mmap, position: int) -> None:
        self.path = path
        self.data = data
        self.position = position
        self.end = len(data)

    def take(self, num_bytes: int, what: str) -> int:
        """Step over `num_bytes`; the position before the step."""
        start = self.position
        if num_bytes > self.end - start:
            missing = num_bytes - (self.end - start)
            raise TruncatedModelError(
                f"{str(self.path)!r} ends inside {what}: {missing} bytes are missing",
                hint=_DOWNLOAD_AGAIN,
            )
        self.position = start + num_bytes
        return start

    def u32(self, what: str) -> int:
        """The next 4 bytes as a number."""
        return int(U32.unpack_from(self.data, self.take(4, what))[0])

    def u64(self, what: str) -> int:
        """The next 8 bytes as a number."""
        return int(U64.unpack_from(self.data, self.take(8, what))[0])

    def count(self, what: str, min_bytes: int, limit: int) -> int:
        """A count of things of at least `min_bytes` each that may still follow."""
        number = self.u64(f"the number of {what}")
        if number > limit:
            raise ModelFormatError(
                f"{str(self.path)!r} claims {number} {what}; {limit} is the most that is accepted",
                hint=f"the file is damaged: {_DOWNLOAD_AGAIN}",
            )
        missing = number * min_bytes - (self.end - self.position)
        if missing > 0:
            raise TruncatedModelError(
                f"{str(self.path)!r} promises {number} {what}, but at least {missing} bytes of them"
                " are missing",
                hint=_DOWNLOAD_AGAIN,
            )
        return number

    def raw_string(self, what: str, limit: int) -> bytes:
        """The next string, undecoded, of at most `limit` bytes."""
        length = self.u64(f"the length of {what}")
        if length > min(limit, self.end):
            raise ModelFormatError(
                f"{str(self.path)!r}: {what} claims {length} bytes;"
                f" {min(limit, self.end)} is the most possible"
            )
        start = self.take(length, what)
        return self.data[start : start + length]

    def text(self, what: str, limit: int) -> str:
        """The next string, which must be UTF-8."""
        raw = self.raw_string(what, limit)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ModelFormatError(
                f"{str(self.path)!r}: {what} is not UTF-8: {raw[:40]!r}"
            ) from exc

    def name(self, what: str, limit: int) -> str:
        """The next string, which names something: not empty and without NUL."""
        name = self.text(what, limit)
        if not name or "\0" in name:
            raise ModelFormatError(f"{str(self.path)!r}: {what} is {name[:40]!r}")
        return name


def _read_metadata(
    cursor: _Cursor, count: int
) -> tuple[dict[str, GGUFValue], dict[str, ValueType]]:
    metadata: dict[str, GGUFValue] = {}
    types: dict[str, ValueType] = {}
    start = cursor.position
    for index in range(count):
        key = cursor.name(f"the name of metadata entry {index}", MAX_KEY_BYTES)
        if key in metadata:
            raise ModelFormatError(f"{str(cursor.path)!r} has the key {key!r} twice")
        types[key] = _value_type(cursor, key)
        metadata[key] = _read_value(cursor, key, types[key])
        if cursor.position - start > MAX_METADATA_BYTES:
            raise ModelFormatError(
                f"{str(cursor.path)!r} has more than {MAX_METADATA_BYTES} bytes of metadata"
            )
    return metadata, types


def _value_type(cursor: _Cursor, key: str) -> ValueType:
    code = cursor.u32(f"the type of {key!r}")
    try:
        return ValueType(code)
    except ValueError as exc:
        raise ModelFormatError(
            f"{str(cursor.path)!r}: the key {key!r} has the unknown type {code}"
        ) from exc


def _read_value(cursor: _Cursor, key: str, kind: ValueType) -> GGUFValue:
    if kind is ValueType.ARRAY:
        return _read_array(cursor, key)
    if kind is ValueType.STRING:
        return cursor.text(f"the value of {key!r}", MAX_METADATA_BYTES)
    scalar = SCALARS[kind]
    value: int | float | bool = scalar.unpack_from(
        cursor.data, cursor.take(scalar.size, f"the value of {key!r}")
    )[0]
    return value


def _read_array(cursor: _Cursor, key: str) -> GGUFArray:
    kind = _value_type(cursor, key)
    if kind is ValueType.ARRAY:
        raise ModelFormatError(f"{str(cursor.path)!r}: {key!r} is an array of arrays")
    element_bytes = 8 if kind is ValueType.STRING else SCALARS[kind].size
    count = cursor.count(f"elements of {key!r}", element_bytes, MAX_ARRAY_LENGTH)
    start = cursor.position
    if kind is ValueType.STRING:
        _skip_strings(cursor, key, count)
    else:
        cursor.take(count * element_bytes, f"the array {key!r}")
    return GGUFArray(kind, count, cursor.data[start : cursor.position])


def _skip_strings(cursor: _Cursor, key: str, count: int) -> None:
    """Step over `count` strings. Inlined: vocabularies have hundreds of thousands."""
    data, end, unpack = cursor.data, cursor.end, U64.unpack_from
    position = cursor.position
    try:
        for _ in range(count):
            position += 8 + unpack(data, position)[0]
            if position > end:
                break
    except StructError:
        position = end + 1
    if position > end:
        raise TruncatedModelError(
            f"{str(cursor.path)!r} ends inside the array {key!r}, or a string in it has a wrong"
            " length",
            hint=_DOWNLOAD_AGAIN,
        )
    cursor.position = position


def _alignment(path: Path, metadata: dict[str, GGUFValue], types: dict[str, ValueType]) -> int:
    key = "general.alignment"
    if key not in metadata:
        return DEFAULT_ALIGNMENT
    alignment = metadata[key]
    if types[key] is not ValueType.UINT32 or not isinstance(alignment, int):
        raise ModelFormatError(f"{str(path)!r}: {key} has the type {types[key].name}, not UINT32")
    if alignment < MIN_ALIGNMENT or alignment & (alignment - 1):
        raise ModelFormatError(
            f"{str(path)!r}: {key} is {alignment}; it must be a power of two from {MIN_ALIGNMENT}"
        )
    return alignment


def _read_tensor_infos(cursor: _Cursor, count: int) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for index in range(count):
        info = _read_tensor_info(cursor, index)
        if info.name in tensors:
            raise ModelFormatError(f"{str(cursor.path)!r} has the tensor {info.name!r} twice")
        tensors[info.name] = info
    return tensors


def _read_tensor_info(cursor: _Cursor, index: int) -> TensorInfo:
    name = cursor.name(f"the name of tensor {index}", MAX_TENSOR_NAME_BYTES)
    what = f"tensor {name!r}"
    num_dims = cursor.u32(f"the shape of {what}")
    if num_dims > MAX_DIMS:
        raise ModelFormatError(
            f"{str(cursor.path)!r}: {what} has {num_dims} dimensions; {MAX_DIMS} is the most"
        )
    shape = tuple(cursor.u64(f"the shape of {what}") for _ in range(num_dims))
    code = I32.unpack_from(cursor.data, cursor.take(4, f"the type of {what}"))[0]
    offset = cursor.u64(f"the offset of {what}")
    if code not in GGML_TYPES:
        raise UnsupportedModelError(
            f"{str(cursor.path)!r}: {what} has the type {code}, which ggml 0.25.3 does not know",
            hint="the file is damaged, or needs a newer edge_llm",
        )
    kind = GGML_TYPES[code]
    row = shape[0] if shape else 1
    num_elements = 1
    for extent in shape:
        num_elements *= extent
    if not 0 < num_elements < 1 << 62 or max(shape, default=1) >= 1 << 62:
        raise ModelFormatError(f"{str(cursor.path)!r}: {what} has the shape {list(shape)}")
    if row % kind.block_size:
        raise ModelFormatError(
            f"{str(cursor.path)!r}: {what} has rows of {row} numbers, but {kind.name} stores"
            f" {kind.block_size} together"
        )
    num_bytes = num_elements // kind.block_size * kind.block_bytes
    return TensorInfo(name, shape, kind, offset, num_bytes)


def _check_layout(
    cursor: _Cursor, tensors: dict[str, TensorInfo], data_offset: int, alignment: int
) -> None:
    """Tensors follow each other in order, padded to the alignment, and end inside of the file."""
    expected = 0
    for info in tensors.values():
        if info.offset != expected:
            problem = _misplaced(info, expected, alignment)
            raise ModelFormatError(f"{str(cursor.path)!r}: tensor {info.name!r} {problem}")
        expected = _padded(info.offset + info.num_bytes, alignment)
    last = max(tensors.values(), key=lambda info: info.offset, default=None)
    needed = data_offset + (last.offset + last.num_bytes if last else 0)
    if tensors and needed > cursor.end:
        raise TruncatedModelError(
            f"{str(cursor.path)!r} ends before its tensors do: {needed - cursor.end} of"
            f" {needed} bytes are missing",
            hint=_DOWNLOAD_AGAIN,
        )


def _misplaced(info: TensorInfo, expected: int, alignment: int) -> str:
    if info.offset % alignment:
        return f"has the offset {info.offset}, which is not a multiple of {alignment}"
    if info.offset < expected:
        return f"overlaps the one before it: offset {info.offset}, expected {expected}"
    return f"leaves a gap after the one before it: offset {info.offset}, expected {expected}"


def _padded(position: int, alignment: int) -> int:
    return (position + alignment - 1) // alignment * alignment
