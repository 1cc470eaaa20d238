"""ONNX files and folders, read without onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_llm.errors import (
    ModelFormatError,
    ModelNotFoundError,
    TruncatedModelError,
    UnsupportedModelError,
)
from edge_llm.hub.onnx import (
    DecoderInterface,
    check_runnable,
    find_model,
    read_config,
    read_decoder,
    read_onnx,
)
from edge_llm.hub.resolve import resolve_model
from tests.support.onnx_files import TinyOnnx, write_folder, write_json, write_onnx
from tests.support.onnx_mutants import Item, encode, parse
from tests.support.onnx_wire import (
    block,
    encode_graph,
    encode_model,
    encode_node,
    encode_tensor,
    encode_value_info,
    number,
    text,
)


def interface(path: Path, **layout: Any) -> DecoderInterface:
    return read_decoder(read_onnx(write_onnx(path / "model.onnx", **layout)))


def test_a_grouped_decoder_is_described(tmp_path: Path) -> None:
    found = interface(tmp_path)

    assert [(p.past, p.present) for p in found.pairs[:2]] == [
        ("past_key_values.0.key", "present.0.key"),
        ("past_key_values.0.value", "present.0.value"),
    ]
    assert {(p.num_heads, p.head_size) for p in found.pairs} == {(2, 16)}
    assert (found.shares_buffer, found.is_ragged, found.max_positions) == (True, True, 256)
    assert (found.token_dtype, found.mask_dtype, found.position_dtype) == ("int64", "int64", None)
    assert (found.cache_dtype, found.logits_dtype, found.vocab_size) == ("float32", "float32", 265)
    assert found.cache_bytes_per_token == 2 * 2 * 2 * 16 * 4


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ({"position_ids": True}, {"position_dtype": "int64", "max_positions": 256}),
        ({"grouped": False}, {"shares_buffer": False, "is_ragged": False, "max_positions": None}),
        ({"dtype": "float16"}, {"cache_dtype": "float16", "logits_dtype": "float16"}),
        (
            {"grouped": False, "merged": True},
            {"shares_buffer": False, "cache_branch": "use_cache_branch"},
        ),
    ],
)
def test_layouts_are_told_apart(
    tmp_path: Path, layout: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = interface(tmp_path, **layout)
    assert {name: getattr(found, name) for name in expected} == expected


def test_kept_logits_have_an_input(tmp_path: Path) -> None:
    found = interface(tmp_path, logits_to_keep=True)
    assert found.logits_to_keep is not None
    assert found.logits_to_keep.name == "num_logits_to_keep"


def test_weights_are_counted_wherever_they_lie(tmp_path: Path) -> None:
    inside = read_onnx(write_onnx(tmp_path / "inside.onnx"))
    outside = read_onnx(write_onnx(tmp_path / "outside.onnx", external=True))

    assert inside.weight_bytes == outside.weight_bytes > 100_000
    assert outside.external_files == (tmp_path / "outside.onnx_data",)
    assert outside.file_bytes < inside.file_bytes / 4


def edited(path: Path, edit: Callable[[list[Item]], None], **layout: Any) -> Path:
    """A tiny model whose graph was taken apart and changed."""
    write_onnx(path, **layout)
    model = parse(path.read_bytes())
    edit(next(item for item in model if item.number == 7).value)
    path.write_bytes(encode(model))
    return path


def inputs(graph: list[Item]) -> list[Item]:
    return [item for item in graph if item.number == 11]


def extra_input(name: str, dtype: str, shape: list[int | str]) -> Callable[[list[Item]], None]:
    def add(graph: list[Item]) -> None:
        graph.append(Item(11, 2, encode_value_info(name, dtype, shape)))

    return add


@pytest.mark.parametrize(
    ("name", "dtype", "shape"),
    [
        ("past_conv.0", "float32", ["batch", 1024, 3]),
        ("past_ssm_states.3", "float32", ["batch", 24, 64, 128]),
        ("cache_position", "int64", ["sequence"]),
        ("past_key_values.9.key", "float32", ["batch", "heads", "past", 64]),
        ("past_key_values.9.key", "float32", ["batch", 8, 512, 64]),
        ("past_key_values.9.key", "bfloat", ["batch", 8, "past", 64]),
        ("past_key_values.9.key", "float32", ["batch", 8, "past", 64]),
        ("token_type_ids", "int64", ["batch", "sequence"]),
    ],
)
def test_an_input_that_cannot_be_fed_is_named(
    tmp_path: Path, name: str, dtype: str, shape: list[int | str]
) -> None:
    dtype = dtype if dtype != "bfloat" else "int8"
    file = read_onnx(edited(tmp_path / "model.onnx", extra_input(name, dtype, shape)))

    with pytest.raises(UnsupportedModelError, match=name):
        read_decoder(file)


def test_other_kinds_of_models_are_refused_with_a_reason(tmp_path: Path) -> None:
    def without_past(graph: list[Item]) -> None:
        graph[:] = [i for i in graph if i.number != 11 or i not in inputs(graph)[2:]]

    with pytest.raises(UnsupportedModelError, match="no KV cache"):
        read_decoder(read_onnx(edited(tmp_path / "a.onnx", without_past)))

    def embedded(graph: list[Item]) -> None:
        graph[:] = [i for i in graph if i is not inputs(graph)[0]]
        extra_input("inputs_embeds", "float32", ["batch", "sequence", 64])(graph)

    with pytest.raises(UnsupportedModelError, match="inputs_embeds"):
        read_decoder(read_onnx(edited(tmp_path / "b.onnx", embedded)))

    def fixed(graph: list[Item]) -> None:
        graph[graph.index(inputs(graph)[0])] = Item(
            11, 2, encode_value_info("input_ids", "int64", [1, 64])
        )

    with pytest.raises(UnsupportedModelError, match="fixed size"):
        read_decoder(read_onnx(edited(tmp_path / "c.onnx", fixed)))


def test_a_past_that_something_else_looks_at_cannot_share_its_buffer(tmp_path: Path) -> None:
    def measured(graph: list[Item]) -> None:
        node = encode_node("Shape", ["past_key_values.0.key"], ["size"], "size", "", {})
        graph.append(Item(1, 2, node))

    found = read_decoder(read_onnx(edited(tmp_path / "model.onnx", measured)))

    assert not found.shares_buffer


def test_rows_are_not_batched_where_lengths_come_from_the_shape_of_the_mask(
    tmp_path: Path,
) -> None:
    def by_shape(graph: list[Item]) -> None:
        for item in graph:
            if item.number == 1 and any(part.value == b"ReduceSum" for part in item.value):
                item.value = [p for p in item.value if p.number != 4]
                item.value.append(Item(4, 2, b"Shape"))

    found = read_decoder(read_onnx(edited(tmp_path / "model.onnx", by_shape)))

    assert (found.shares_buffer, found.is_ragged) == (True, False)


@pytest.mark.parametrize("domain", ["com.acme", "com.amd"])
def test_an_operator_of_somebody_else_is_named(tmp_path: Path, domain: str) -> None:
    def foreign(graph: list[Item]) -> None:
        graph.append(Item(1, 2, encode_node("Magic", ["logits"], ["x"], "wand", domain, {})))

    file = read_onnx(edited(tmp_path / "model.onnx", foreign))

    with pytest.raises(UnsupportedModelError, match="'wand'"):
        check_runnable(file)


def model_with(tensor: bytes) -> bytes:
    return encode_model(encode_graph([], [tensor], [], []), {"": 17})


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../b", "C:/x", "..\\x", ""])
def test_weights_outside_of_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_with(encode_tensor("w", np.ones(4, np.float32), (location, 0))))

    with pytest.raises(ModelFormatError, match="outside"):
        read_onnx(path)


def test_weights_that_are_missing_or_too_short_are_refused(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "model.onnx", external=True)
    data = tmp_path / "model.onnx_data"
    data.write_bytes(data.read_bytes()[:-8192])
    with pytest.raises(TruncatedModelError, match=r"model\.onnx_data"):
        read_onnx(path)
    data.unlink()
    with pytest.raises(ModelNotFoundError, match=r"model\.onnx_data"):
        read_onnx(path)


@pytest.mark.parametrize(
    "tensor",
    [
        number(1, 4) + number(2, 1) + text(8, "w") + block(9, bytes(15)),
        number(1, 4) + number(2, 99) + text(8, "w") + block(9, bytes(16)),
        number(1, -4) + number(2, 1) + text(8, "w") + block(9, bytes(16)),
        number(1, 1 << 62) * 2 + number(2, 1) + text(8, "w") + block(9, bytes(16)),
        number(1, 2) + number(2, 7) + text(8, "w") + block(7, b"\x01"),
        number(1, 4) + number(2, 1) + block(9, bytes(16)),
    ],
)
def test_constants_that_contradict_themselves_are_refused(tmp_path: Path, tensor: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model_with(tensor))

    with pytest.raises(ModelFormatError):
        read_onnx(path)


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    graph = encode_graph([], [], [], [])
    for _ in range(50):
        graph = encode_graph([encode_node("If", [], [], "", "", {"branch": graph})], [], [], [])
    path = tmp_path / "model.onnx"
    path.write_bytes(encode_model(graph, {"": 17}))

    with pytest.raises(ModelFormatError, match="nested"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS"),
        (b"<!doctype html><html>", "web page"),
        (b"GGUF\x03\x00\x00\x00", "GGUF"),
        (b"PK\x03\x04rest", "zip"),
        (bytes(1000), "not an ONNX file"),
        (b"\xff" * 1000, "not an ONNX file"),
        (b"\x08\x08", "no graph"),
    ],
)
def test_other_files_are_told_by_their_beginning(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelFormatError, match=expected):
        read_onnx(path)


def test_every_cut_of_a_file_is_noticed(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "model.onnx", layers=1, external=True)
    whole = path.read_bytes()
    for end in range(1, len(whole) - 1, 37):
        path.write_bytes(whole[:end])
        with pytest.raises(ModelFormatError):
            read_decoder(read_onnx(path))


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["model.onnx"], "model.onnx"),
        (["onnx/model.onnx", "onnx/model_q4.onnx", "onnx/model_q4f16.onnx"], "onnx/model_q4.onnx"),
        (["onnx/model_fp16.onnx", "onnx/model_quantized.onnx"], "onnx/model_quantized.onnx"),
        (["model_fp16.onnx", "model_bnb4.onnx"], "model_fp16.onnx"),
        (
            ["onnx/decoder_model_merged_q4.onnx", "onnx/embed_tokens.onnx"],
            "onnx/decoder_model_merged_q4.onnx",
        ),
        (["model.onnx", "vision/model_q4.onnx"], "model.onnx"),
    ],
)
def test_a_folder_means_its_best_graph(tmp_path: Path, names: list[str], chosen: str) -> None:
    found = find_model(make(tmp_path / "Some-1B", *names))

    assert found.model == tmp_path / "Some-1B" / chosen
    assert found.root == tmp_path / "Some-1B"


def test_a_named_file_finds_the_tokenizer_one_folder_above(tmp_path: Path) -> None:
    folder = make(tmp_path / "Some-1B", "tokenizer.json", "onnx/model_int8.onnx", "onnx/model.onnx")

    found = find_model(folder / "onnx" / "model_int8.onnx")

    assert (found.root, found.name) == (folder, "Some-1B/model_int8")


def test_genai_configuration_names_the_graph(tmp_path: Path) -> None:
    folder = make(tmp_path / "phi", "model.onnx", "special.onnx")
    decoder = {"filename": "special.onnx"}
    write_json(folder / "genai_config.json", {
        "model": {"decoder": decoder, "context_length": 777, "type": "phi3", "eos_token_id": [5, 6]}
    })  # fmt: skip

    found = find_model(folder)

    assert found.model.name == "special.onnx"
    facts = read_config(found)
    assert (facts.context_length, facts.architecture) == (777, "phi3")
    assert facts.eos_ids == {5, 6}
    write_json(folder / "genai_config.json", {"model": {"decoder": {"filename": "../x.onnx"}}})
    with pytest.raises(ModelFormatError, match="genai_config"):
        find_model(folder)


def test_folders_without_a_decoder_say_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"text_encoder\.onnx"):
        find_model(make(tmp_path / "a", "onnx/text_encoder.onnx"))
    with pytest.raises(ModelNotFoundError, match=r"no \.onnx file"):
        find_model(make(tmp_path / "b", "readme.md"))


def test_references_to_onnx_models_are_resolved_and_links_are_kept(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "Tiny")
    link = tmp_path / "snapshot"
    link.mkdir()
    (link / "model.onnx").symlink_to(path)

    assert resolve_model(str(path.parent)).path == path.parent
    assert resolve_model(str(path)).name == "Tiny"
    assert resolve_model(str(link / "model.onnx")).path == link / "model.onnx"


TEMPLATES: list[tuple[dict[str, Any], str | None]] = [
    ({"chat_template": "{{ x }}"}, "{{ x }}"),
    ({"chat_template": [{"name": "tool_use", "template": "t"},
                        {"name": "default", "template": "d"}]}, "d"),
    ({"chat_template": [7, {"name": "rag", "template": "r"}]}, "r"),
    ({"chat_template": 7}, None),
    ({}, None),
]  # fmt: skip


@pytest.mark.parametrize(("config", "expected"), TEMPLATES)
def test_chat_templates_are_found_where_they_are(
    tmp_path: Path, config: dict[str, Any], expected: str | None
) -> None:
    folder = make(tmp_path / "m", "model.onnx")
    write_json(folder / "tokenizer_config.json", config)
    assert read_config(find_model(folder)).chat_template == expected
    (folder / "chat_template.jinja").write_text("file")
    assert read_config(find_model(folder)).chat_template == "file"


@pytest.mark.parametrize("content", ["[1]", "{", "[" * 10_000, '"\\ud800"', "\x00"])
def test_json_files_that_are_none_are_refused(tmp_path: Path, content: str) -> None:
    folder = make(tmp_path / "m", "model.onnx")
    (folder / "config.json").write_text(content)

    with pytest.raises(ModelFormatError, match=r"config\.json"):
        read_config(find_model(folder))


def test_wrong_types_in_json_count_as_absent(tmp_path: Path) -> None:
    folder = make(tmp_path / "m", "model.onnx")
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        write_json(folder / name, {
            "model_type": 7, "max_position_embeddings": "many", "eos_token_id": [True, "x", -1],
            "bos_token": [], "eos_token": {"content": 5}, "add_bos_token": 1, "text_config": 3,
            "do_sample": True, "temperature": "hot",
        })  # fmt: skip

    facts = read_config(find_model(folder))

    assert (facts.architecture, facts.eos_ids, dict(facts.sampling)) == ("onnx", frozenset(), {})
    assert (facts.bos_token, facts.eos_token, facts.add_bos) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "sampling"),
    [
        ({"do_sample": False, "temperature": 0.7}, {"temperature": 0.0}),
        ({"do_sample": True, "temperature": 0.7}, {"temperature": 0.7}),
        ({"temperature": 0.7}, {}),
    ],
)
def test_makers_who_want_no_sampling_get_none(
    tmp_path: Path, given: dict[str, object], sampling: dict[str, float]
) -> None:
    folder = make(tmp_path / "m", "model.onnx")
    write_json(folder / "generation_config.json", given)

    assert dict(read_config(find_model(folder)).sampling) == sampling


def test_the_layouts_of_the_tests_are_those_of_their_names() -> None:
    assert replace(TinyOnnx(), grouped=False) == TinyOnnx(grouped=False)


@pytest.mark.parametrize(("value", "expected"), [("<|unsure|>", "<|unsure|>"), (7, None)])
def test_the_unsure_token_is_in_config_json(
    tmp_path: Path, value: object, expected: str | None
) -> None:
    folder = make(tmp_path / "m", "model.onnx")
    write_json(folder / "config.json", {"edge_llm.unsure_token": value})

    assert read_config(find_model(folder)).unsure_token == expected
