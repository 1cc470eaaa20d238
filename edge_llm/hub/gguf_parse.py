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
from edge_llm.hub.byte_source import ByteSource, WholeSource
from edge_llm.hub.gguf_cursor import DOWNLOAD_AGAIN, Cursor
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
            if stream.seek(0, 2) < HEADER_BYTES:  # an empty file cannot be mapped
                stream.seek(0)
                return parse_gguf(path, WholeSource(stream.read()))
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return parse_gguf(path, WholeSource(data))
    except FileNotFoundError as exc:
        raise ModelNotFoundError(
            f"there is no model file {str(path)!r}", hint="check the path"
        ) from exc
    except OSError as exc:
        raise ModelError(f"cannot read {str(path)!r}: {exc.strerror or exc}") from exc


def parse_gguf(path: Path, source: ByteSource) -> GGUFFile:
    """Everything but the weights of one file, which `path` only names.

    Raises:
        ModelFormatError: as `read_gguf`; or as the source's `require`.
    """
    source.require(min(HEADER_BYTES, source.size))
    _require_magic(path, bytes(source.data[:32]))
    if source.size < HEADER_BYTES:
        raise TruncatedModelError(
            f"{str(path)!r} has {source.size} bytes, not even a whole header", hint=DOWNLOAD_AGAIN
        )
    version = U32.unpack_from(source.data, 4)[0]
    _require_version(path, version)
    cursor = Cursor(path, source, 8)
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
        file_bytes=source.size,
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
        raise NotGGUFError(f"{str(path)!r} is empty", hint=DOWNLOAD_AGAIN)
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


def _read_metadata(cursor: Cursor, count: int) -> tuple[dict[str, GGUFValue], dict[str, ValueType]]:
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


def _value_type(cursor: Cursor, key: str) -> ValueType:
    code = cursor.u32(f"the type of {key!r}")
    try:
        return ValueType(code)
    except ValueError as exc:
        raise ModelFormatError(
            f"{str(cursor.path)!r}: the key {key!r} has the unknown type {code}"
        ) from exc


def _read_value(cursor: Cursor, key: str, kind: ValueType) -> GGUFValue:
    if kind is ValueType.ARRAY:
        return _read_array(cursor, key)
    if kind is ValueType.STRING:
        return cursor.text(f"the value of {key!r}", MAX_METADATA_BYTES)
    scalar = SCALARS[kind]
    start = cursor.take(scalar.size, f"the value of {key!r}")
    value: int | float | bool = scalar.unpack_from(cursor.data, start)[0]
    return value


def _read_array(cursor: Cursor, key: str) -> GGUFArray:
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
    return GGUFArray(kind, count, cursor.bytes_from(start))


def _skip_strings(cursor: Cursor, key: str, count: int) -> None:
    """Step over `count` strings."""
    left = count
    while left:
        cursor.load(_within(cursor, key, cursor.position + 8))
        position, left = _skip_at_hand(cursor, left)
        cursor.move_to(_within(cursor, key, position))


def _within(cursor: Cursor, key: str, position: int) -> int:
    if position > cursor.end:
        raise TruncatedModelError(
            f"{str(cursor.path)!r} ends inside the array {key!r}, or a string in it has a wrong"
            " length",
            hint=DOWNLOAD_AGAIN,
        )
    return position


def _skip_at_hand(cursor: Cursor, count: int) -> tuple[int, int]:
    """Where as many of `count` strings end as have their lengths at hand, and how many are left.

    Inlined: vocabularies have hundreds of thousands.
    """
    data, end, unpack = cursor.data, cursor.end, U64.unpack_from
    position = cursor.position
    for left in range(count, 0, -1):
        try:
            position += 8 + unpack(data, position)[0]
        except StructError:  # this length is not at hand
            return position, left
        if position > end:
            break
    return position, 0


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


def _read_tensor_infos(cursor: Cursor, count: int) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for index in range(count):
        info = _read_tensor_info(cursor, index)
        if info.name in tensors:
            raise ModelFormatError(f"{str(cursor.path)!r} has the tensor {info.name!r} twice")
        tensors[info.name] = info
    return tensors


def _read_tensor_info(cursor: Cursor, index: int) -> TensorInfo:
    name = cursor.name(f"the name of tensor {index}", MAX_TENSOR_NAME_BYTES)
    what = f"tensor {name!r}"
    num_dims = cursor.u32(f"the shape of {what}")
    if num_dims > MAX_DIMS:
        raise ModelFormatError(
            f"{str(cursor.path)!r}: {what} has {num_dims} dimensions; {MAX_DIMS} is the most"
        )
    shape = tuple(cursor.u64(f"the shape of {what}") for _ in range(num_dims))
    start = cursor.take(4, f"the type of {what}")
    code = I32.unpack_from(cursor.data, start)[0]
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
    cursor: Cursor, tensors: dict[str, TensorInfo], data_offset: int, alignment: int
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
            hint=DOWNLOAD_AGAIN,
        )


def _misplaced(info: TensorInfo, expected: int, alignment: int) -> str:
    if info.offset % alignment:
        return f"has the offset {info.offset}, which is not a multiple of {alignment}"
    if info.offset < expected:
        return f"overlaps the one before it: offset {info.offset}, expected {expected}"
    return f"leaves a gap after the one before it: offset {info.offset}, expected {expected}"


def _padded(position: int, alignment: int) -> int:
    return (position + alignment - 1) // alignment * alignment
