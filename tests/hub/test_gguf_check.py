from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from edge_llm.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from edge_llm.hub import gguf_architectures as known
from edge_llm.hub.gguf import ValueType, check_loadable, read_gguf
from tests.support.gguf_files import (
    ARRAY,
    BOOL,
    F32,
    I32,
    STRING,
    U8,
    U16,
    U32,
    Key,
    Tensor,
    TinySpec,
    Value,
    build_gguf,
    tiny_metadata,
    tiny_tensors,
    write_tiny_model,
)
from tests.support.gguf_mutants import load_base


def check(tmp_path: Path, *extra: Key, arch: str = "llama") -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf", extra=extra, arch=arch)
    check_loadable(read_gguf(path))


@pytest.mark.parametrize(
    "spec",
    [
        TinySpec(),
        TinySpec(tokenizer="llama"),
        TinySpec(storage="Q8_0", tied=False),
        TinySpec(storage="Q4_0", chat_template=None),
        TinySpec(arch="qwen2"),
        TinySpec(arch="qwen3", storage="F16"),
        TinySpec(arch="gemma3", tokenizer="llama"),
        TinySpec(experts=4),
        TinySpec(arch="qwen3moe", experts=4),
    ],
)
def test_sound_models_pass(tmp_path: Path, spec: TinySpec) -> None:
    check_loadable(read_gguf(write_tiny_model(tmp_path / "tiny.gguf", spec)))


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("bert", "embedding model"),
        ("clip", "vision part"),
        ("t5", "encoder-decoder"),
        ("wavtokenizer-dec", "sound"),
        ("dream", "diffusion"),
        ("qwen9", "did you mean 'qwen"),
    ],
)
def test_architectures_that_cannot_chat_are_refused(tmp_path: Path, arch: str, words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=words):
        check(tmp_path, arch=arch)


def test_parts_of_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="'adapter'"):
        check(tmp_path, Key("general.type", STRING, "adapter"))


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("llama.context_length", U32, 0),
        ("llama.context_length", STRING, "long"),
        ("llama.context_length", U8, 64),
        ("llama.embedding_length", U32, 0),
        ("llama.embedding_length", U32, 64),
        ("llama.block_count", U32, 0),
        ("llama.block_count", U32, 513),
        ("llama.nextn_predict_layers", U32, 2),
        ("llama.feed_forward_length", U32, 1 << 31),
        ("llama.attention.head_count", U32, 0),
        ("llama.attention.head_count", U32, 1 << 31),
        ("llama.attention.head_count", U32, 8),
        ("llama.attention.head_count_kv", U32, 0),
        ("llama.attention.head_count_kv", U32, 3),
        ("llama.attention.head_count_kv", U32, 1),
        ("llama.attention.key_length", U32, 16),
        ("llama.attention.value_length", U32, 0),
        ("llama.attention.causal", BOOL, False),
        ("llama.attention.layer_norm_rms_epsilon", F32, math.nan),
        ("llama.attention.layer_norm_rms_epsilon", F32, -1e-5),
        ("llama.attention.sliding_window", U32, 1 << 31),
        ("llama.rope.dimension_count", U32, 7),
        ("llama.rope.dimension_count", U32, 4),
        ("llama.rope.freq_base", F32, math.inf),
        ("llama.rope.scaling.type", STRING, "spiral"),
        ("llama.expert_count", U32, 4),
        ("llama.expert_used_count", U32, 4),
        ("llama.expert_group_count", U32, 4),
        ("llama.expert_gating_func", U32, 9),
        ("general.sampling.temp", F32, -1.0),
        ("general.sampling.top_p", F32, 1.5),
        ("general.sampling.top_k", STRING, "forty"),
        ("tokenizer.ggml.model", STRING, "none"),
        ("tokenizer.ggml.pre", STRING, "gpt-9"),
        ("tokenizer.ggml.bos_token_id", U32, 265),
        ("tokenizer.ggml.eos_token_id", U32, 1 << 31),
        ("tokenizer.ggml.eot_token_id", F32, 1.0),
        ("tokenizer.ggml.add_bos_token", U32, 1),
        ("split.count", U32, 2),
    ],
)
def test_impossible_values_are_refused(
    tmp_path: Path, name: str, kind: ValueType, value: Value
) -> None:
    with pytest.raises(ModelFormatError):
        check(tmp_path, Key(name, kind, value))


@pytest.mark.parametrize(
    "key",
    [
        Key("tokenizer.ggml.tokens", ARRAY, [], STRING),
        Key("tokenizer.ggml.tokens", ARRAY, [f"t{i}" for i in range(264)], STRING),
        Key("tokenizer.ggml.tokens", ARRAY, ["same"] * 265, STRING),
        Key("tokenizer.ggml.tokens", ARRAY, [1] * 265, U32),
        Key("tokenizer.ggml.tokens", ARRAY, ["x" * 20_000 + str(i) for i in range(265)], STRING),
        Key("tokenizer.ggml.token_type", ARRAY, [1] * 264, I32),
        Key("tokenizer.ggml.token_type", ARRAY, [6] * 265, I32),
        Key("tokenizer.ggml.token_type", ARRAY, [1] * 265, U32),
        Key("tokenizer.ggml.scores", ARRAY, [0.0] * 3, F32),
        Key("tokenizer.ggml.scores", ARRAY, [math.nan] * 265, F32),
        Key("tokenizer.ggml.merges", ARRAY, [1, 2], U32),
        Key("llama.attention.head_count", ARRAY, [4], U32),
        Key("llama.attention.head_count_kv", ARRAY, [2, 0], U32),
        Key("llama.feed_forward_length", ARRAY, [64.0, 64.0], F32),
    ],
)
def test_impossible_arrays_are_refused(tmp_path: Path, key: Key) -> None:
    with pytest.raises(ModelFormatError):
        check(tmp_path, key)


def test_tokens_that_differ_only_after_a_nul_are_refused(tmp_path: Path) -> None:
    tokens = [b"a\0b", b"a\0c", *(b"t%d" % i for i in range(263))]
    with pytest.raises(ModelFormatError, match="twice"):
        check(tmp_path, Key("tokenizer.ggml.tokens", ARRAY, tokens, STRING))


def test_head_counts_by_layer_pass(tmp_path: Path) -> None:
    check(
        tmp_path,
        Key("llama.attention.head_count", ARRAY, [4, 4], U32),
        Key("llama.attention.head_count_kv", ARRAY, [2, 2], I32),
    )


@pytest.mark.parametrize("name", ["context_length", "embedding_length", "block_count"])
def test_missing_sizes_are_named(tmp_path: Path, name: str) -> None:
    spec = TinySpec()
    keys = [key for key in tiny_metadata(spec) if key.name != f"llama.{name}"]
    path = tmp_path / "tiny.gguf"
    path.write_bytes(build_gguf(keys, tiny_tensors(spec)))
    with pytest.raises(ModelFormatError, match=name):
        check_loadable(read_gguf(path))


@pytest.mark.parametrize(
    ("name", "kind"), [("output_norm.weight", "F16"), ("blk.0.attn_q.weight", "I32")]
)
def test_tensors_that_cannot_be_multiplied_are_refused(
    tmp_path: Path, name: str, kind: str
) -> None:
    spec = TinySpec()
    tensors = [
        Tensor(one.name, one.shape, kind, one.data[: len(one.data) // (2 if kind == "F16" else 1)])
        if one.name == name
        else one
        for one in tiny_tensors(spec)
    ]
    path = tmp_path / "tiny.gguf"
    path.write_bytes(build_gguf(tiny_metadata(spec), tensors))
    with pytest.raises(ModelFormatError, match=name):
        check_loadable(read_gguf(path))


def write_split(folder: Path) -> Path:
    """A tiny model in two parts; the path of the first."""
    keys, tensors = tiny_metadata(TinySpec()), tiny_tensors(TinySpec())
    for index, part in enumerate((tensors[:5], tensors[5:])):
        split = [
            Key("split.no", U16, index),
            Key("split.count", U16, 2),
            Key("split.tensors.count", I32, len(tensors)),
        ]
        path = folder / f"tiny-{index + 1:05d}-of-00002.gguf"
        path.write_bytes(build_gguf(split + (keys if index == 0 else []), part))
    return folder / "tiny-00001-of-00002.gguf"


def test_a_split_model_counts_as_one(tmp_path: Path) -> None:
    file = read_gguf(write_split(tmp_path))
    check_loadable(file)
    assert file.info.num_parameters == sum(
        math.prod(tensor.shape) for tensor in tiny_tensors(TinySpec())
    )


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    first = write_split(tmp_path)
    (tmp_path / "tiny-00002-of-00002.gguf").unlink()
    with pytest.raises(ModelNotFoundError, match="00002-of-00002"):
        read_gguf(first)


def test_a_later_part_alone_is_refused(tmp_path: Path) -> None:
    write_split(tmp_path)
    with pytest.raises(ModelFormatError):
        check_loadable(read_gguf(tmp_path / "tiny-00002-of-00002.gguf"))


def test_a_part_of_another_model_is_refused(tmp_path: Path) -> None:
    first = write_split(tmp_path)
    shutil.copy(first, tmp_path / "tiny-00002-of-00002.gguf")
    with pytest.raises(ModelFormatError, match="part 2 of 2"):
        read_gguf(first)


def test_tables_name_only_known_architectures() -> None:
    tables = (
        known.RECURRENT,
        known.WITHOUT_ROPE,
        known.EQUAL_HEADS,
        known.PLAIN_ATTENTION,
        known.LAYERS_WITHOUT_ATTENTION,
        known.ROPE_SECTIONS,
    )
    assert all(table <= known.GENERATES_TEXT for table in tables)
    assert not known.GENERATES_TEXT & known.CANNOT_CHAT.keys()


def test_a_file_taken_apart_and_written_again_is_the_same(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    base = load_base(path)
    assert build_gguf(base.keys, base.tensors) == path.read_bytes()
