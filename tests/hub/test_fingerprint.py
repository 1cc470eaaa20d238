"""Equal weights have equal fingerprints, other weights or settings never do."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_llm.errors import ModelFormatError, ModelNotFoundError
from edge_llm.hub import fingerprint
from edge_llm.hub.fingerprint import (
    LoraAdapter,
    SnapshotSettings,
    content_fingerprint,
    snapshot_fingerprint,
)
from edge_llm.hub.gguf import read_gguf
from tests.hub.test_gguf_check import write_split
from tests.support.gguf_files import write_tiny_model


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat the tiny model as if it had gigabytes."""
    monkeypatch.setattr(fingerprint, "WHOLE_FILE_BYTES", 0)
    monkeypatch.setattr(fingerprint, "WHOLE_REGION_BYTES", 256)
    monkeypatch.setattr(fingerprint, "STRIDE_BYTES", 1024)
    monkeypatch.setattr(fingerprint, "SAMPLE_BYTES", 64)
    monkeypatch.setattr(fingerprint, "HEAD_BYTES", 1024)


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def test_a_copy_has_the_same_fingerprint(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.gguf")
    copy = tmp_path / "b.gguf"
    shutil.copy(path, copy)

    assert content_fingerprint(path) == content_fingerprint(copy)
    assert len(content_fingerprint(path)) == 64


@pytest.mark.parametrize("changes", [{"seed": 1}, {"storage": "F16"}, {"chat_template": "x"}])
def test_other_weights_or_metadata_have_another(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = write_tiny_model(tmp_path / "a.gguf")

    assert content_fingerprint(path) != content_fingerprint(
        write_tiny_model(tmp_path / "b.gguf", **changes)
    )


def test_every_byte_of_a_small_file_counts(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.gguf")
    before = content_fingerprint(path)

    flip(path, path.stat().st_size // 2)

    assert content_fingerprint(path) != before


@pytest.mark.usefixtures("sampled")
def test_header_and_small_tensors_of_a_large_file_are_read_whole(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.gguf")
    file = read_gguf(path)
    norm = next(t for t in file.tensors.values() if "norm" in t.name)
    template = path.read_bytes().index(b"<|im_start|>assistant")
    positions = [template, file.data_offset + norm.offset + norm.num_bytes - 1]
    before = content_fingerprint(path)

    for position in positions:
        flip(path, position)
        assert content_fingerprint(path) != before
        flip(path, position)


@pytest.mark.usefixtures("sampled")
def test_every_large_tensor_has_samples_in_each_stride(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.gguf")
    file = read_gguf(path)
    before = content_fingerprint(path)

    for tensor in file.tensors.values():
        data = path.read_bytes()
        start = file.data_offset + tensor.offset
        end = start + min(tensor.num_bytes, 1024)
        path.write_bytes(data[:start] + bytes(b ^ 1 for b in data[start:end]) + data[end:])
        assert content_fingerprint(path) != before, tensor.name
        path.write_bytes(data)


@pytest.mark.usefixtures("sampled")
def test_files_of_other_formats_are_sampled_too(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(bytes(50_000))
    before = content_fingerprint(path)

    flip(path, 1000)
    assert content_fingerprint(path) != before
    path.write_bytes(bytes(50_001))
    assert content_fingerprint(path) != before


@pytest.mark.parametrize("large", [False, True])
def test_every_part_of_a_split_model_counts(
    tmp_path: Path, request: pytest.FixtureRequest, large: bool
) -> None:
    if large:
        request.getfixturevalue("sampled")
    first = write_split(tmp_path)
    second = first.with_name(first.name.replace("00001-of", "00002-of"))
    before = content_fingerprint(first)

    for path in (first, second):
        flip(path, read_gguf(path).data_offset)
        assert content_fingerprint(first) != before
        flip(path, read_gguf(path).data_offset)
    assert content_fingerprint(first) == before


def test_a_file_is_read_once_while_it_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny_model(tmp_path / "a.gguf")
    before = content_fingerprint(path)
    status = path.stat()

    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "_digest", None)
        assert content_fingerprint(path) == before

    flip(path, status.st_size - 1)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_fingerprint(path) != before


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        content_fingerprint(tmp_path / "absent.gguf")
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelFormatError):
        content_fingerprint(tmp_path / "a.gguf")


SETTINGS = SnapshotSettings(model="m", library="llama.cpp 1")
OTHERS: list[dict[str, Any]] = [
    {"model": "n"},
    {"library": "llama.cpp 2"},
    {"type_k": "q8_0"},
    {"type_v": "q8_0"},
    {"flash_attention": True},
    {"flash_attention": "True"},
    {"rope": {"freq_base": 10_000.0}},
    {"rope": {"freq_scale": 10_000.0}},
    {"lora": (LoraAdapter("a"),)},
    {"lora": (LoraAdapter("a", 0.5),)},
    {"num_streams": 4},
    {"extra": {"swa_full": True}},
]


def test_every_setting_changes_the_fingerprint_of_snapshots() -> None:
    settings = [SETTINGS, *(replace(SETTINGS, **change) for change in OTHERS)]

    assert len({snapshot_fingerprint(s) for s in settings}) == len(settings)


def test_the_order_of_names_does_not_matter() -> None:
    one, other = {"freq_base": 1.0, "freq_scale": 2.0}, {"freq_scale": 2.0, "freq_base": 1.0}

    assert snapshot_fingerprint(replace(SETTINGS, rope=one)) == snapshot_fingerprint(
        replace(SETTINGS, rope=other)
    )
