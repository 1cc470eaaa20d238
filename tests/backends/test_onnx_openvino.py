"""Intel's provider for real, on its CPU device. Its wheel brings an onnxruntime of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.onnx.native import CPU
from edge_llm.config import EdgeConfig
from edge_llm.errors import DevicePlacementError, DeviceUnavailableError
from tests.support.onnx_files import TinyOnnx, random_weights, write_folder
from tests.support.onnx_providers import feed, skip_without
from tests.support.onnx_reference import reference_logits

pytestmark = [pytest.mark.openvino, skip_without("onnxruntime-openvino")]

OPENVINO = "OpenVINOExecutionProvider"
TEXT = list(b"the kitchen lights are on")
PLAIN = TinyOnnx(grouped=False, position_ids=True)


def test_a_whole_model_runs_on_openvino(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "plain", PLAIN)
    backend = load_backend(path, EdgeConfig(context_size=128, provider="openvino"))
    expected = reference_logits(PLAIN, random_weights(PLAIN), [*TEXT, 65])

    assert backend.info.placement is not None
    assert list(backend.info.placement.nodes) == [OPENVINO]
    assert np.abs(feed(backend, 0, TEXT, len(TEXT)) - expected[:-1]).max() < 0.02
    assert np.abs(feed(backend, 0, [65])[0] - expected[-1]).max() < 0.02
    backend.close()


def test_grouped_attention_needs_the_cpu(tmp_path: Path) -> None:
    spec = TinyOnnx()
    path = write_folder(tmp_path / "grouped", spec)
    config = EdgeConfig(context_size=128, provider="openvino")

    with pytest.raises(DevicePlacementError, match="GroupQueryAttention"):
        load_backend(path, config)

    allowed = EdgeConfig(context_size=128, provider="openvino", cpu_fallback=True)
    backend = load_backend(path, allowed)
    expected = reference_logits(spec, random_weights(spec), TEXT)
    assert backend.info.placement is not None
    assert set(backend.info.placement.nodes) == {OPENVINO, CPU}
    assert np.abs(feed(backend, 0, TEXT, len(TEXT)) - expected).max() < 0.02
    backend.close()


def test_an_npu_that_is_not_there_is_an_error_not_the_cpu(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "plain", PLAIN)

    for options in ({"device": "npu"}, {"device": "npu", "provider": "openvino"}):
        with pytest.raises((DevicePlacementError, DeviceUnavailableError)):
            load_backend(path, EdgeConfig(context_size=128, **options))  # type: ignore[arg-type]


def test_auto_means_the_plain_cpu(tmp_path: Path) -> None:
    backend = load_backend(write_folder(tmp_path / "plain"), EdgeConfig(context_size=128))

    assert backend.info.placement is not None
    assert backend.info.placement.provider == CPU
    backend.close()
