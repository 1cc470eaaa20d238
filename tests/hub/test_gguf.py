from __future__ import annotations

import os
import time
from pathlib import Path
from struct import pack

import pytest

from edge_llm.errors import (
    ModelFormatError,
    ModelNotFoundError,
    NotGGUFError,
    TruncatedModelError,
    UnsupportedModelError,
)
from edge_llm.hub.gguf import GGUFArray, GGUFFile, ValueType, read_gguf
from edge_llm.hub.gguf_types import GGML_TYPES
from tests.support.gguf_files import (
    ARRAY,
    CHATML,
    STRING,
    U32,
    Key,
    Tensor,
    TinySpec,
    build_gguf,
    encode_string,
    tiny_metadata,
    tiny_tensors,
    write_tiny_model,
)


@pytest.fixture
def tiny(tmp_path: Path) -> GGUFFile:
    return read_gguf(write_tiny_model(tmp_path / "tiny.gguf"))


def read_bytes(tmp_path: Path, data: bytes) -> GGUFFile:
    path = tmp_path / "file.gguf"
    path.write_bytes(data)
    return read_gguf(path)


def vector(name: str, length: int = 4) -> Tensor:
    return Tensor(name, (length,), "F32", bytes(4 * length))


def header(num_tensors: int = 0, num_keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + pack("<IQQ", version, num_tensors, num_keys)


def test_metadata_keeps_values_and_types(tiny: GGUFFile) -> None:
    assert tiny.metadata["llama.block_count"] == 2
    assert tiny.types["llama.block_count"] is ValueType.UINT32
    assert tiny.architecture == "llama"


def test_arrays_are_decoded_when_asked(tiny: GGUFFile) -> None:
    tokens = tiny.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, GGUFArray)
    assert tokens.strings()[-3:] == ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    assert len(tokens) == 265
    types = tiny.metadata["tokenizer.ggml.token_type"]
    assert isinstance(types, GGUFArray)
    assert types.numbers()[-4:] == [1, 3, 3, 3]


def test_tensors_know_their_place(tiny: GGUFFile) -> None:
    info = tiny.tensors["token_embd.weight"]
    assert (info.shape, info.num_bytes, info.num_elements) == ((32, 265), 32 * 265 * 4, 32 * 265)
    assert info.offset == 0
    assert tiny.data_offset % tiny.alignment == 0


def test_info_sums_up_the_model(tiny: GGUFFile) -> None:
    info = tiny.info
    assert (info.name, info.license, info.quantization) == ("Tiny llama", "apache-2.0", "F32")
    assert (info.num_layers, info.num_heads, info.num_kv_heads) == (2, (4, 4), (2, 2))
    assert (info.key_length, info.value_length, info.vocab_size) == (8, 8, 265)
    assert info.chat_template == CHATML
    assert info.sampling == {"temperature": 0.5}
    assert info.weight_bytes == 4 * info.num_parameters
    assert info.size_label == "27.1K"


def test_info_names_templates_and_none(tmp_path: Path) -> None:
    extra = (Key("tokenizer.chat_template.tool_use", STRING, "{{ tools }}"),)
    path = write_tiny_model(tmp_path / "t.gguf", chat_template=None, extra=extra)
    info = read_gguf(path).info
    assert info.chat_template is None
    assert info.chat_templates == {"tool_use": "{{ tools }}"}


def test_info_names_the_unsure_token(tmp_path: Path, tiny: GGUFFile) -> None:
    extra = (Key("edge_llm.unsure_token", STRING, "<|unsure|>"),)

    assert tiny.info.unsure_token is None
    assert read_gguf(write_tiny_model(tmp_path / "t.gguf", extra=extra)).info.unsure_token == (
        "<|unsure|>"
    )


def test_version_2_is_read(tmp_path: Path) -> None:
    spec = TinySpec()
    data = build_gguf(tiny_metadata(spec), tiny_tensors(spec), version=2)
    assert read_bytes(tmp_path, data).version == 2


def test_alignment_is_read(tmp_path: Path) -> None:
    keys = [Key("general.alignment", U32, 64)]
    data = build_gguf(keys, [vector("a"), vector("b")], alignment=64)
    assert read_bytes(tmp_path, data).tensors["b"].offset == 64


@pytest.mark.parametrize("alignment", [0, 8, 33, 48])
def test_alignment_that_native_code_aborts_on_is_refused(tmp_path: Path, alignment: int) -> None:
    data = build_gguf([Key("general.alignment", U32, alignment)], [vector("a")])
    with pytest.raises(ModelFormatError, match="alignment"):
        read_bytes(tmp_path, data)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"nothing\.gguf"):
        read_gguf(tmp_path / "nothing.gguf")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for path in (tmp_path, tmp_path / "pipe.gguf", Path("/dev/zero")):
        with pytest.raises(ModelNotFoundError, match="is not a file"):
            read_gguf(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><head><title>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (b"PK\x03\x04" + bytes(40), "zip archive"),
        (pack("<Q", 60) + b'{"__metadata__":{}}      ', "safetensors"),
        (b"tjgg" + bytes(40), "August 2023"),
        (b"\xd4\xc0\xa2`W\x14\xd8\xa6" + bytes(40), "begins with"),
    ],
)
def test_other_files_are_recognised(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(NotGGUFError, match=words):
        read_bytes(tmp_path, data)


@pytest.mark.parametrize(
    ("version", "words"), [(1, "version 1"), (4, "version 4"), (3 << 24, "big-endian")]
)
def test_other_versions_are_refused(tmp_path: Path, version: int, words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=words):
        read_bytes(tmp_path, header(version=version))


@pytest.mark.parametrize(
    "data",
    [
        header(num_keys=1 << 60) + bytes(100),
        header(num_tensors=1 << 60) + bytes(100),
        header(num_keys=1000) + bytes(100),
        header(num_keys=1) + pack("<Q", 1 << 60),
        header(num_keys=1) + encode_string("k") + pack("<IIQ", 9, 4, 1 << 60),
        header(num_keys=1) + encode_string("k") + pack("<IIQ", 9, 8, 1 << 24) + bytes(100),
        header(num_keys=1) + encode_string("k") + pack("<IIQQ", 9, 8, 1, 1 << 60),
        header(num_keys=1) + encode_string("k") + pack("<IQ", 8, (1 << 64) - 1) + bytes(9),
    ],
)
def test_huge_numbers_fail_at_once(tmp_path: Path, data: bytes) -> None:
    start = time.perf_counter()
    with pytest.raises(ModelFormatError):
        read_bytes(tmp_path, data)
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (build_gguf([Key("k", U32, 1), Key("k", U32, 2)], []), "twice"),
        (header(num_keys=1) + encode_string(b"\xff\xfe") + pack("<II", 4, 1), "UTF-8"),
        (header(num_keys=1) + encode_string("") + pack("<III", 4, 1, 0), "name of metadata"),
        (header(num_keys=1) + encode_string("k") + pack("<III", 13, 1, 0), "unknown type 13"),
        (header(num_keys=1) + encode_string("k") + pack("<IIQ", 9, 9, 0), "array of arrays"),
        (build_gguf([], [vector("a"), vector("a")]), "twice"),
        (build_gguf([], [Tensor("a", (4, 1, 1, 1, 1), "F32", bytes(16))]), "5 dimensions"),
        (build_gguf([], [Tensor("a", (4, 0), "F32", b"")]), "shape"),
        (build_gguf([], [Tensor("a", (1 << 40, 1 << 40), "F32", b"")]), "shape"),
        (build_gguf([], [Tensor("a", (33,), "Q8_0", bytes(68))]), "33"),
        (build_gguf([], [vector("x" * 64)]), "64 bytes"),
    ],
)
def test_contradictions_are_named(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ModelFormatError, match=words):
        read_bytes(tmp_path, data)


@pytest.mark.parametrize(("offset", "words"), [(7, "not a multiple"), (0, "overlaps"), (64, "gap")])
def test_misplaced_tensors_are_refused(tmp_path: Path, offset: int, words: str) -> None:
    data = build_gguf([], [vector("a"), vector("b"), vector("c")])
    place = data.index(encode_string("b")) + len(encode_string("b")) + 4 + 8 + 4
    data = data[:place] + pack("<Q", offset) + data[place + 8 :]
    with pytest.raises(ModelFormatError, match=words):
        read_bytes(tmp_path, data)


def test_a_removed_tensor_type_is_refused(tmp_path: Path) -> None:
    data = build_gguf([], [vector("a")])
    place = data.index(encode_string("a")) + len(encode_string("a")) + 4 + 8
    with pytest.raises(UnsupportedModelError, match="type 31"):
        read_bytes(tmp_path, data[:place] + pack("<I", 31) + data[place + 4 :])


def test_a_truncated_file_says_how_much_is_missing(tmp_path: Path) -> None:
    data = build_gguf([], [vector("a", 1000)])
    with pytest.raises(TruncatedModelError, match=r"100 of \d+ bytes are missing"):
        read_bytes(tmp_path, data[:-100])


def test_every_truncation_is_an_error(tmp_path: Path) -> None:
    data = build_gguf([Key("k", ARRAY, ["a", "bc"], STRING), Key("n", U32, 1)], [vector("a")])
    for end in range(len(data) - 16):
        with pytest.raises(ModelFormatError):
            read_bytes(tmp_path, data[:end])


def test_a_large_vocabulary_is_read_quickly(tmp_path: Path) -> None:
    tokens = [f"token{index}" for index in range(152_000)]
    keys = [
        Key("tokenizer.ggml.tokens", ARRAY, tokens, STRING),
        Key("tokenizer.ggml.merges", ARRAY, tokens, STRING),
    ]
    path = tmp_path / "large.gguf"
    path.write_bytes(build_gguf(keys, [vector("a")]))
    start = time.perf_counter()
    read_gguf(path)
    assert time.perf_counter() - start < 0.5


def test_the_type_table_is_ggmls_own() -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    import ctypes

    folder = Path(llama_cpp.__file__).parent / "lib"
    libraries = [path for path in folder.glob("libggml-base.*") if path.suffix in (".so", ".dylib")]
    ggml = ctypes.CDLL(str(libraries[0]))
    ggml.ggml_type_size.restype = ctypes.c_size_t
    ggml.ggml_blck_size.restype = ctypes.c_int64
    for code in range(43):
        kind = GGML_TYPES.get(code)
        expected = (kind.block_size, kind.block_bytes) if kind else (0, 0)
        assert (ggml.ggml_blck_size(code), ggml.ggml_type_size(code)) == expected
