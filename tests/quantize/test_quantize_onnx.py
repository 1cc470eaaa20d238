"""Quantising whole models: every layout by every method, and what must never happen on the way."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_llm.backends import load_backend
from edge_llm.backends.base import BatchItem
from edge_llm.backends.onnx.native import load_library
from edge_llm.config import EdgeConfig
from edge_llm.errors import (
    ConfigError,
    EdgeLLMError,
    ModelFormatError,
    QuantizationRefusedError,
)
from edge_llm.hub.onnx import read_onnx
from edge_llm.quantize import QuantizeOptions, QuantizeReport, quantize_onnx
from edge_llm.quantize import place as place_module
from edge_llm.quantize import run as run_module
from edge_llm.quantize.blocks import quantize_blocks
from tests.support.onnx_files import TinyOnnx, random_weights, tiny_onnx, write_folder, write_onnx

onnx = pytest.importorskip("onnx", reason="quantising needs the onnx package")

TEXT = "hello there, the quick brown fox jumps over the lazy dog. " * 6
WIDE = TinyOnnx(width=64, feed_forward=96)


def quantized(
    tmp_path: Path, options: QuantizeOptions, spec: TinyOnnx = WIDE, *, external: bool = False
) -> QuantizeReport:
    source = write_folder(tmp_path / "model", spec, external=external)
    return quantize_onnx(source.parent, tmp_path / "small", options, text=TEXT, max_tokens=120)


def op_counts(folder: Path) -> Counter[str]:
    (path,) = folder.glob("*.onnx")
    return Counter(node.op_type for graph in read_onnx(path).graph.walk() for node in graph.nodes)


LAYOUTS: dict[str, dict[str, Any]] = {
    "grouped": {},
    "half": {"dtype": "float16"},
    "plain": {"grouped": False},
    "merged": {"grouped": False, "merged": True},
    "positions": {"position_ids": True},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", ["q4", "q8", "int8", "disk8"])
def test_every_layout_stays_the_same_model(tmp_path: Path, layout: str, method: Any) -> None:
    spec = TinyOnnx(**LAYOUTS[layout])

    report = quantized(tmp_path, QuantizeOptions(method=method), spec)

    comparison = report.comparison
    assert report.target_bytes < report.source_bytes
    assert comparison.kl_divergence < {"q4": 0.05, "q8": 1e-3, "int8": 5e-3, "disk8": 1e-3}[method]
    assert comparison.num_tokens == 119
    assert comparison.target_perplexity == pytest.approx(comparison.source_perplexity, rel=0.2)
    assert comparison.target_speed.decode > 0
    assert all(matrix.treatment != "keep" for matrix in report.matrices)
    assert (tmp_path / "small" / "tokenizer.json").is_file()


@pytest.mark.parametrize(
    ("method", "symmetric"),
    [("q4", True), ("q4", False), ("q8", True), ("q8", False), ("disk8", True)],
)
def test_onnxruntime_computes_with_the_weights_that_were_meant(
    method: Any, symmetric: bool, tmp_path: Path
) -> None:
    """Nothing is lost but the rounding of weights: accuracy level 1 computes in float32."""
    options = QuantizeOptions(
        method=method, symmetric=symmetric, accuracy_level=1, embedding="keep", head="keep"
    )
    report = quantized(tmp_path, options)
    is_stored = {"half_scales": method == "disk8", "symmetric": symmetric}
    weights = random_weights(WIDE)
    rounded = {
        name: quantize_blocks(values.T, int(method[-1]), 32, **is_stored).values().T
        if values.ndim == 2 and name not in ("embedding", "head")
        else values
        for name, values in weights.items()
    }

    expected = logits_of(write_tiny(tmp_path / "rounded", WIDE, rounded))

    found = logits_of(next(report.target.glob("*.onnx")))
    np.testing.assert_allclose(found, expected, atol=2e-4)


def write_tiny(folder: Path, spec: TinyOnnx, weights: dict[str, Any]) -> Path:
    path = write_folder(folder, spec)
    path.write_bytes(tiny_onnx(spec, weights)[0])
    return path


def logits_of(path: Path) -> Any:
    config = EdgeConfig(model=str(path), max_num_seqs=1, prefix_slots=0, cache_max_mb=0)
    backend = load_backend(path, config)
    try:
        return backend.forward([BatchItem(0, 0, list(range(60, 90)), 30)]).copy()
    finally:
        backend.close()


def test_disk8_is_folded_into_plain_constants_when_it_is_loaded(tmp_path: Path) -> None:
    report = quantized(tmp_path, QuantizeOptions(method="disk8"))
    onnxruntime = load_library()
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")

    onnxruntime.InferenceSession(next(report.target.glob("*.onnx")), options)

    loaded = onnx.load(tmp_path / "loaded.onnx")
    constants = {tensor.name for tensor in loaded.graph.initializer}
    products = [node for node in loaded.graph.node if node.op_type == "MatMul"]
    assert products
    assert all(node.input[1] in constants for node in products)


def test_matrices_that_are_to_be_kept_are_kept(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "model", WIDE)
    everything = quantize_onnx(
        source, tmp_path / "all", QuantizeOptions(method="q8"), text=TEXT, max_tokens=50
    )
    name = next(m.name for m in everything.matrices if m.role == "layer")

    options = QuantizeOptions(method="q8", keep=(name,), embedding="keep", head="keep")
    report = quantize_onnx(source, tmp_path / "some", options, text=TEXT, max_tokens=50)

    kept = {m.role: m.name for m in report.matrices if m.treatment == "keep"}
    assert set(kept) == {"layer", "embedding", "head"}
    assert kept["layer"] == name
    assert report.target_bytes > everything.target_bytes


def test_a_head_that_is_the_embedding_is_stored_once(tmp_path: Path) -> None:
    spec = TinyOnnx()
    weights = random_weights(spec)
    apart = write_tiny(tmp_path / "apart", spec, weights)
    tied = write_tiny(tmp_path / "tied", spec, {**weights, "head": weights["embedding"].T.copy()})
    sizes = [
        quantize_onnx(
            path, tmp_path / f"{path.parent.name}-q8", QuantizeOptions("q8"), text=TEXT,
            max_tokens=50,
        ).target_bytes
        for path in (apart, tied)
    ]  # fmt: skip

    assert sizes[0] - sizes[1] > 0.9 * spec.vocab * spec.width


def test_weights_in_a_file_of_their_own_are_read_through_links(tmp_path: Path) -> None:
    stored = write_folder(tmp_path / "blobs", WIDE, external=True)
    linked = tmp_path / "model"
    linked.mkdir()
    for path in stored.parent.iterdir():
        (linked / path.name).symlink_to(path)

    report = quantize_onnx(linked, tmp_path / "small", QuantizeOptions(), text=TEXT, max_tokens=50)

    assert report.comparison.kl_divergence < 0.05


def test_large_results_keep_their_weights_in_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_EXTERNAL_ABOVE_BYTES", 0)

    report = quantized(tmp_path, QuantizeOptions(method="q8"))

    assert (report.target / "model_q8.onnx_data").stat().st_size > 10_000
    assert report.comparison.kl_divergence < 1e-3


def test_genai_folders_name_the_new_graph(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "model", WIDE)
    config = {"model": {"type": "llama", "decoder": {"filename": "model.onnx"}}}
    (source.parent / "genai_config.json").write_text(json.dumps(config))

    quantize_onnx(source.parent, tmp_path / "small", QuantizeOptions(), text=TEXT, max_tokens=50)

    written = json.loads((tmp_path / "small" / "genai_config.json").read_text())
    assert written["model"]["decoder"]["filename"] == "model_q4.onnx"


def test_a_result_that_is_too_far_off_never_replaces_a_good_one(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "model", WIDE)
    target = tmp_path / "small"
    quantize_onnx(source, target, QuantizeOptions("q8"), text=TEXT, max_tokens=50)
    before = contents(target)

    with pytest.raises(QuantizationRefusedError, match="nats a token"):
        quantize_onnx(
            source, target, QuantizeOptions("q4"), text=TEXT, max_tokens=50, max_kl=1e-9,
            replace=True,
        )  # fmt: skip

    assert contents(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "small"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("step", ["_save", "compare_models", "put_in_place"])
def test_a_failure_on_the_way_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    source = write_folder(tmp_path / "model", WIDE)
    target = tmp_path / "small"
    quantize_onnx(source, target, QuantizeOptions("q8"), text=TEXT, max_tokens=50)
    before = contents(target)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(run_module, step, fail)
    with pytest.raises(ConfigError, match="No space left"):
        quantize_onnx(source, target, QuantizeOptions("q4"), text=TEXT, replace=True)

    assert contents(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "small"]


def test_an_existing_folder_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "model", WIDE)
    target = tmp_path / "small"
    target.mkdir()
    (target / "letters.txt").write_text("dear")

    with pytest.raises(ConfigError, match="there already"):
        quantize_onnx(source, target, QuantizeOptions(), text=TEXT)
    with pytest.raises(ConfigError, match="holds no ONNX model"):
        quantize_onnx(source, target, QuantizeOptions(), text=TEXT, replace=True)
    with pytest.raises(ConfigError, match="holds the model that is read"):
        quantize_onnx(source, source.parent, QuantizeOptions(), text=TEXT, replace=True)
    (target / "letters.txt").rename(target / "old.onnx")
    quantize_onnx(source, target, QuantizeOptions(), text=TEXT, max_tokens=50, replace=True)

    assert not (target / "old.onnx").exists()


def test_a_disk_without_room_is_found_out_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_folder(tmp_path / "model", WIDE)
    monkeypatch.setattr(place_module, "SPARE_BYTES", 1 << 60)

    with pytest.raises(ConfigError, match="may be needed"):
        quantize_onnx(source, tmp_path / "small", QuantizeOptions(), text=TEXT)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "q5"}, "no method 'q5'"),
        ({"block_size": 48}, "block_size must be one of"),
        ({"accuracy_level": 3}, "accuracy_level must be one of"),
        ({"embedding": "int8"}, "no embedding 'int8'"),
        ({"head": "float"}, "no head 'float'"),
    ],
)
def test_choices_that_cannot_be_met_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        QuantizeOptions(**options)


def test_what_cannot_be_quantised_is_refused_with_a_reason(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "model", WIDE)
    packed = write_folder(tmp_path / "packed", TinyOnnx(storage="int4"))
    cases = [
        (source, QuantizeOptions(keep=("*/none/*",)), TEXT, "matches nothing"),
        (source, QuantizeOptions(keep=("*",)), TEXT, "nothing in the model can be quantised"),
        (source, QuantizeOptions(), "too short", "too few to compare"),
        (packed, QuantizeOptions(), TEXT, "quantised already"),
    ]

    for path, options, text, words in cases:
        with pytest.raises(EdgeLLMError, match=words):
            quantize_onnx(path, tmp_path / "small", options, text=text)
        assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    ("name", "error"), [("0.query", ModelFormatError), ("norm", QuantizationRefusedError)]
)
def test_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, name: str, error: type[EdgeLLMError]
) -> None:
    weights = random_weights(WIDE)
    weights[name] = np.full_like(weights[name], np.nan)
    source = write_tiny(tmp_path / "model", WIDE, weights)

    with pytest.raises(error, match="numbers"):
        quantize_onnx(source, tmp_path / "small", QuantizeOptions(), text=TEXT)

    assert not (tmp_path / "small").exists()


def test_an_embedding_that_does_not_fit_in_blocks_is_kept_and_that_is_said(
    tmp_path: Path,
) -> None:
    report = quantized(tmp_path, QuantizeOptions("q8", block_size=128))

    assert report.notes() != []
    assert "not a multiple of the block size" in report.notes()[0]


def test_without_the_onnx_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_onnx(write_folder(tmp_path / "model", WIDE))
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)

    with pytest.raises(ConfigError, match=r"edge-llm\[quantize\]"):
        quantize_onnx(source, tmp_path / "small", QuantizeOptions(), text=TEXT)


def test_a_report_is_plain_values(tmp_path: Path) -> None:
    report = quantized(tmp_path, QuantizeOptions())

    record = json.loads(json.dumps(report.record()))

    assert record["options"]["embedding"] == "q8"
    assert record["matrices"] == {"q8": 2, "q4": 14}
    assert record["target_bytes"] == report.target_bytes
