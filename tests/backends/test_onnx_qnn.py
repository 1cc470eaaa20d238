"""Qualcomm's provider for real: on x86-64 it simulates an HTP, which computes in half precision."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend
from edge_llm.backends.onnx import compiled
from edge_llm.backends.onnx.native import CPU, SessionSettings, open_session
from edge_llm.config import EdgeConfig
from edge_llm.errors import DevicePlacementError, DeviceUnavailableError
from tests.support import onnx_files
from tests.support.onnx_files import TinyOnnx, random_weights, write_folder
from tests.support.onnx_providers import SIMULATOR, WithoutAnd, feed, skip_without
from tests.support.onnx_reference import reference_logits

pytestmark = [
    pytest.mark.qnn,
    skip_without("onnxruntime-qnn"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the simulator is for x86-64"),
]

QNN = "QNNExecutionProvider"
TEXT = list(b"the kitchen lights are on")
PLAIN = TinyOnnx(grouped=False, position_ids=True)

Open = Callable[..., Backend]


@pytest.fixture
def open_model(tmp_path: Path) -> Open:
    def load(path: Path, **options: object) -> Backend:
        given = {
            "context_size": 128, "max_num_seqs": 2, "prefix_slots": 2, "provider": "qnn",
            "provider_options": SIMULATOR, "cache_dir": str(tmp_path / "cache"),
        }  # fmt: skip
        return load_backend(path, EdgeConfig(**given | options))  # type: ignore[arg-type]

    return load


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of which the simulator runs every node."""
    monkeypatch.setattr(onnx_files, "GraphBuilder", WithoutAnd)
    return write_folder(tmp_path / "plain", PLAIN)


def close_to(rows: np.ndarray, expected: np.ndarray) -> bool:
    """Half precision keeps three digits; the simulator's sums lose some of the third."""
    return bool(np.abs(rows - expected).max() < 0.02 * np.abs(expected).max())


def test_a_whole_model_runs_on_the_simulator(plain: Path, open_model: Open) -> None:
    backend = open_model(plain)
    expected = reference_logits(PLAIN, random_weights(PLAIN), [*TEXT, 65, 66])

    assert backend.info.placement is not None
    assert list(backend.info.placement.nodes) == [QNN]
    assert backend.info.placement.nodes[QNN] > 100
    assert close_to(feed(backend, 0, TEXT, len(TEXT)), expected[: len(TEXT)])
    assert close_to(feed(backend, 0, [65]), expected[-2])
    assert close_to(feed(backend, 0, [66]), expected[-1])
    backend.close()


def test_what_the_simulator_cannot_run_is_an_error_with_the_operators(
    tmp_path: Path, open_model: Open
) -> None:
    path = write_folder(tmp_path / "grouped")

    with pytest.raises(DevicePlacementError, match="2 GroupQueryAttention") as caught:
        open_model(path)

    assert caught.value.elsewhere["GroupQueryAttention"] == 2
    assert "MatMul" not in caught.value.elsewhere


@pytest.mark.parametrize("spec", [TinyOnnx(), TinyOnnx(storage="int4")], ids=["float", "int4"])
def test_the_cpu_attends_where_that_is_allowed(
    tmp_path: Path, open_model: Open, caplog: pytest.LogCaptureFixture, spec: TinyOnnx
) -> None:
    path = write_folder(tmp_path / "grouped", spec)
    backend = open_model(path, cpu_fallback=True)
    on_cpu = load_backend(path, EdgeConfig(context_size=128, device="cpu"))

    placement = backend.info.placement
    assert placement is not None
    assert 0 < placement.nodes[CPU] < placement.nodes[QNN]
    assert "run on the CPU" in caplog.text
    tolerance = 4 if spec.storage == "int4" else 1  # the CPU quantises activations too
    rows, expected = (feed(b, 0, TEXT, len(TEXT)) for b in (backend, on_cpu))
    assert np.abs(rows - expected).max() < tolerance * 0.02 * np.abs(expected).max()
    backend.close()
    on_cpu.close()


def test_options_that_the_provider_refuses_are_an_error_not_the_cpu(
    plain: Path, open_model: Open
) -> None:
    with pytest.raises((DeviceUnavailableError, DevicePlacementError)):
        open_model(plain, provider_options={"backend_path": "/nowhere/libQnnHtp.so"})


def test_what_was_compiled_is_loaded_the_next_time(
    plain: Path, open_model: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_model(plain)
    expected = feed(first, 0, TEXT)
    first.close()
    folders = list((tmp_path / "cache" / "compiled").iterdir())
    opened: list[Path] = []

    def watched(path: Path, settings: SessionSettings) -> object:
        opened.append(path)
        return open_session(path, settings)

    monkeypatch.setattr(compiled, "open_session", watched)

    second = open_model(plain)

    assert len(folders) == 2
    assert {path.parent for path in opened} == set(folders)
    assert second.info.placement == first.info.placement
    assert np.array_equal(feed(second, 0, TEXT), expected)
    second.close()


def test_what_was_damaged_on_disk_is_compiled_again(
    plain: Path, open_model: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_model(plain)
    expected = feed(first, 0, TEXT)
    first.close()
    for part in (tmp_path / "cache" / "compiled").glob("*/*.bin"):
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 0xFF
        part.write_bytes(data)
    caplog.set_level(logging.INFO)

    second = open_model(plain)

    assert caplog.text.count("is damaged") == 2
    assert np.array_equal(feed(second, 0, TEXT), expected)
    second.close()
    names = {p.name for p in (tmp_path / "cache" / "compiled").iterdir()}
    assert len(names) == 2
    assert not any(name.startswith(".") for name in names)


def test_another_context_or_model_is_compiled_anew(
    plain: Path, open_model: Open, tmp_path: Path
) -> None:
    open_model(plain).close()
    open_model(plain, context_size=96).close()

    assert len(list((tmp_path / "cache" / "compiled").iterdir())) == 4


def test_without_a_cache_on_disk_nothing_is_kept(
    plain: Path, open_model: Open, tmp_path: Path
) -> None:
    open_model(plain, cache_max_mb=0).close()

    assert not (tmp_path / "cache" / "compiled").exists()
