"""The ONNX form of the built-in model: the same model as the GGUF file, in what ships."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_llm.hub.onnx import find_model, read_decoder, read_onnx
from edge_llm.hub.packaged import models_folder
from scripts.builtin.chat import CHAT_TEMPLATE, render_prompt
from scripts.builtin.generator import Generator
from scripts.builtin.gguf_copy import GGUFModel, read_gguf
from scripts.builtin.onnx_runner import OnnxRunner
from tests.support.builtin_reference import reference_logits

FOLDER = models_folder() / "builtin" / "onnx"
GGUF = models_folder() / "builtin" / "edge-llm-builtin-q8_0.gguf"


@pytest.fixture(scope="module")
def model() -> GGUFModel:
    return read_gguf(GGUF)


@pytest.fixture(scope="module")
def runner() -> OnnxRunner:
    return OnnxRunner(FOLDER)


def conversations(count: int) -> Iterator[str]:
    drawn = itertools.islice(Generator("test-onnx"), count)
    return (render_prompt(conversation.messages) for conversation in drawn)


def test_logits_are_those_of_the_architecture(model: GGUFModel, runner: OnnxRunner) -> None:
    for text in conversations(8):
        ids = runner.tokenize(text)[:300]

        expected = reference_logits(model.weights, ids)

        # Logits reach 26; float32 alone is off by 4e-5, a weight in one bit less by much more.
        np.testing.assert_allclose(runner.logits(ids), expected, atol=5e-4, rtol=0)


def test_a_token_at_a_time_gives_what_the_whole_text_gives(runner: OnnxRunner) -> None:
    ids = runner.tokenize("<|user|>turn on the lights<|end|><|assistant|>")

    answer = runner.answer_ids(ids)

    rows = runner.logits([*ids, *answer.ids])[len(ids) - 1 :]
    assert rows.argmax(axis=1).tolist() == [*answer.ids, runner.end_id]


def test_text_has_the_tokens_that_llama_cpp_reads(runner: OnnxRunner) -> None:
    from scripts.builtin.runner import Runner

    llama = Runner(GGUF)

    for text in conversations(300):
        assert runner.tokenize(text) == llama.tokenize(text)


def test_the_folder_is_what_any_onnx_runtime_expects(model: GGUFModel) -> None:
    names = {path.name for path in FOLDER.iterdir()}
    decoder = read_decoder(read_onnx(find_model(FOLDER).model))
    config = json.loads((FOLDER / "config.json").read_text())

    assert names == {
        "chat_template.jinja", "config.json", "generation_config.json", "model_int8.onnx",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert (FOLDER / "chat_template.jinja").read_text() == CHAT_TEMPLATE
    assert decoder.shares_buffer
    assert decoder.is_ragged
    assert decoder.max_positions == config["max_position_embeddings"] == 1024
    assert decoder.vocab_size == config["vocab_size"] == len(model["tokenizer.ggml.tokens"])
    assert len(decoder.pairs) == 2 * config["num_hidden_layers"]


def test_it_is_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_500_000


def test_it_can_be_made_again_from_the_gguf_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="exporting needs the onnx package")
    from scripts.builtin.export_onnx import FILE_NAME, export_onnx

    export_onnx(GGUF, tmp_path / "onnx", tmp_path / "float")

    made, shipped = (
        {t.name: t.SerializeToString() for t in onnx.load(folder / FILE_NAME).graph.initializer}
        for folder in (tmp_path / "onnx", FOLDER)
    )
    assert made == shipped
    for path in FOLDER.iterdir():
        if path.suffix != ".onnx":
            assert (tmp_path / "onnx" / path.name).read_text() == path.read_text()
