"""Which device is meant, what runs where, and graphs of fixed sizes, on any machine."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, Placement
from edge_llm.backends.onnx import opening, providers
from edge_llm.backends.onnx.fixed import CHUNK
from edge_llm.backends.onnx.native import CPU
from edge_llm.backends.onnx.placement import judge_placement
from edge_llm.backends.onnx.providers import ON_CPU, Target, find_targets
from edge_llm.config import EdgeConfig
from edge_llm.errors import (
    ConfigError,
    DevicePlacementError,
    DeviceUnavailableError,
    UnsupportedModelError,
)
from edge_llm.hub.onnx import read_onnx
from tests.support.gguf_files import write_tiny_model
from tests.support.onnx_files import TinyOnnx, random_weights, write_folder
from tests.support.onnx_providers import feed
from tests.support.onnx_reference import reference_logits

TEXT = list(b"the kitchen lights are on")
NPU = Target("NPUExecutionProvider", "npu", {})


@pytest.fixture
def no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(get_available_providers=lambda: [CPU])
    monkeypatch.setattr(providers, "list_devices", list)
    monkeypatch.setattr(providers, "load_library", lambda: library)


@pytest.mark.usefixtures("no_devices")
def test_without_an_accelerator_auto_means_the_cpu() -> None:
    assert find_targets(EdgeConfig()) == [ON_CPU]
    assert find_targets(EdgeConfig(device="cpu")) == [ON_CPU]
    assert find_targets(EdgeConfig(provider="cpu")) == [ON_CPU]


@pytest.mark.usefixtures("no_devices")
def test_a_device_that_is_not_here_is_an_error_not_the_cpu(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "tiny")

    with pytest.raises(DeviceUnavailableError, match="no GPU"):
        load_backend(path, EdgeConfig(device="gpu"))
    with pytest.raises(DeviceUnavailableError, match="no CoreMLExecutionProvider") as caught:
        load_backend(path, EdgeConfig(provider="coreml"))
    assert "macOS" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="unknown provider 'opnvino'") as unknown:
        load_backend(path, EdgeConfig(provider="opnvino"))
    assert "'openvino'" in str(unknown.value.hint)
    with pytest.raises(ConfigError, match="has no NPU"):
        load_backend(path, EdgeConfig(device="npu", provider="cpu"))


@pytest.mark.usefixtures("no_devices")
@pytest.mark.parametrize(
    ("installed", "words"), [(False, "edge-llm\\[qnn\\]"), (True, "lists no device")]
)
def test_a_plugin_that_is_missing_and_one_without_a_device_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, installed: bool, words: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: installed or None)

    with pytest.raises(DeviceUnavailableError, match=words):
        find_targets(EdgeConfig(provider="qnn"))


def test_listed_accelerators_come_first_and_the_cpu_last(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        providers.Device(CPU, "cpu", "Any", "c"),
        providers.Device("XExecutionProvider", "gpu", "Any", "g"),
        providers.Device("XExecutionProvider", "npu", "Any", "n"),
    ]
    monkeypatch.setattr(providers, "list_devices", lambda: listed)

    found = [target.devices for target in find_targets(EdgeConfig())]

    assert found == [("n",), ("g",), ()]
    assert find_targets(EdgeConfig(device="gpu"))[0].devices == ("g",)
    assert find_targets(EdgeConfig(provider="XExecutionProvider"))[0].devices == ("n",)


def test_gguf_models_are_refused_other_devices(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.gguf")

    for options in ({"device": "npu"}, {"provider": "qnn"}):
        with pytest.raises(DeviceUnavailableError, match="GGUF models run on the CPU"):
            load_backend(path, EdgeConfig(**options))  # type: ignore[arg-type]


def test_what_would_run_elsewhere_is_refused_by_name(tmp_path: Path) -> None:
    file = read_onnx(write_folder(tmp_path / "tiny"))
    mixed = {
        NPU.provider: Counter(MatMul=15),
        CPU: Counter(GroupQueryAttention=2, Shape=1),
    }

    with pytest.raises(
        DevicePlacementError, match="of 18 nodes, 2 GroupQueryAttention, 1 Shape"
    ) as e:
        judge_placement(mixed, NPU, file, strict=True)

    assert e.value.elsewhere == {"GroupQueryAttention": 2, "Shape": 1}
    assert "cpu_fallback" in str(e.value.hint)
    placement = judge_placement(mixed, NPU, file, strict=False)
    assert placement == Placement("npu", NPU.provider, {NPU.provider: 15, CPU: 3})
    assert placement.num_elsewhere == 3


def test_a_device_that_runs_nothing_is_refused_even_where_the_cpu_may_help(tmp_path: Path) -> None:
    file = read_onnx(write_folder(tmp_path / "tiny"))

    with pytest.raises(DevicePlacementError, match="runs nothing"):
        judge_placement({CPU: Counter(MatMul=15)}, NPU, file, strict=False)


def test_auto_takes_the_cpu_when_an_accelerator_cannot_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_folder(tmp_path / "tiny")
    monkeypatch.setattr(opening, "find_targets", lambda config: [NPU, ON_CPU])

    backend = load_backend(path, EdgeConfig(context_size=64))

    assert backend.info.placement is not None
    assert backend.info.placement.provider == CPU
    assert NPU.provider in backend.info.placement.note
    assert f"not on {NPU.provider}" in caplog.text
    assert feed(backend, 0, TEXT).shape[0] == 1
    backend.close()


def fixed(path: Path, monkeypatch: pytest.MonkeyPatch, context_size: int = 160) -> Backend:
    """A model on the CPU, opened as for a device that takes fixed sizes only."""
    on_cpu = [ON_CPU._replace(fixed_shapes=True)]
    monkeypatch.setattr(opening, "find_targets", lambda config: on_cpu)
    config = EdgeConfig(context_size=context_size, max_num_seqs=2, prefix_slots=2, threads=1)
    return load_backend(path, config)


FIXABLE = {
    "growing": TinyOnnx(grouped=False, position_ids=True),
    "grouped": TinyOnnx(),
    "grouped, int4": TinyOnnx(storage="int4"),
    "grouped, positions": TinyOnnx(position_ids=True),
    "half": TinyOnnx(grouped=False, position_ids=True, dtype="float16"),
}


@pytest.mark.parametrize("name", FIXABLE)
def test_fixed_sizes_give_the_logits_of_free_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spec = FIXABLE[name]
    path = write_folder(tmp_path / "tiny", spec)
    tokens = (TEXT * 7)[:160]
    backend = load_backend(path, EdgeConfig(context_size=160, device="cpu", threads=1))
    expected = feed(backend, 0, tokens, len(tokens))
    backend.close()
    backend = fixed(path, monkeypatch)

    # Full chunks, one that is padded, one token, and what ends where the cache does.
    ends = (CHUNK, CHUNK + 9, CHUNK + 10, 160)
    begins = (0, *ends[:-1])
    parts = [feed(backend, 0, tokens[b:e], e - b) for b, e in zip(begins, ends, strict=True)]

    tolerance = 2e-2 if spec.dtype == "float16" or spec.storage == "int4" else 2e-5
    assert np.abs(np.concatenate(parts) - expected).max() < tolerance
    backend.close()


@pytest.mark.parametrize("name", ["growing", "grouped"])
def test_sequences_of_fixed_sizes_fork_roll_back_and_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spec = FIXABLE[name]
    backend = fixed(write_folder(tmp_path / "tiny", spec), monkeypatch)
    expected = reference_logits(spec, random_weights(spec), TEXT)
    feed(backend, 0, TEXT, 0)

    backend.fork(0, 1, 9)
    assert np.abs(feed(backend, 1, TEXT[9:])[0] - expected[-1]).max() < 2e-5
    assert backend.truncate(0, 9)
    state = backend.export(0)
    backend.import_(2, state)
    rows = [feed(backend, seq_id, TEXT[9:])[0] for seq_id in (0, 2)]

    assert np.abs(np.array(rows) - expected[-1]).max() < 2e-5
    backend.close()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (TinyOnnx(grouped=False), "position_ids"),
        (TinyOnnx(grouped=False, merged=True), "merged"),
        (TinyOnnx(logits_to_keep=True), "some of its tokens"),
    ],
)
def test_graphs_that_cannot_have_fixed_sizes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: TinyOnnx, words: str
) -> None:
    with pytest.raises(UnsupportedModelError, match=words):
        fixed(write_folder(tmp_path / "tiny", spec), monkeypatch)


def test_a_provider_that_compiles_nothing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed(write_folder(tmp_path / "tiny"), monkeypatch).close()

    assert list(tmp_path.rglob("compiled/*")) == []
