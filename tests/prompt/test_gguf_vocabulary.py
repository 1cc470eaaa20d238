"""What a header alone says of special tokens is what llama.cpp makes of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_llm.backends.llama_cpp.tokenizer import open_vocabulary
from edge_llm.hub.gguf import check_loadable, read_gguf
from edge_llm.prompt.gguf_vocabulary import GGUFVocabulary
from edge_llm.prompt.tokenizer import Vocabulary
from tests.support.gguf_files import (
    ARRAY,
    BOOL,
    CONTROL,
    I32,
    NORMAL,
    STRING,
    U32,
    Key,
    TinySpec,
    bpe_vocabulary,
    write_tiny_model,
)
from tests.support.vocabularies import USER_DEFINED, vocabulary_path


def facts(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "size": vocabulary.vocab_size,
        "bos": vocabulary.bos_id,
        "eos": vocabulary.eos_id,
        "add_bos": vocabulary.add_bos,
        "ends": vocabulary.eog_ids,
        "special": [(t.id, t.text, t.kind) for t in vocabulary.special_tokens],
    }


def assert_same(path: Path) -> None:
    file = read_gguf(path)
    with open_vocabulary(path) as tokenizer:
        assert facts(GGUFVocabulary(file)) == facts(tokenizer)


@pytest.mark.parametrize("tokenizer", ["gpt2", "llama"])
def test_tiny_vocabularies(tmp_path: Path, tokenizer: str) -> None:
    assert_same(write_tiny_model(tmp_path / "tiny.gguf", tokenizer=tokenizer))


def with_tokens(path: Path, tokens: dict[str, int], *changes: Key) -> Path:
    """A model whose vocabulary ends in these tokens of these types."""
    spec = TinySpec()
    keys = {key.name: key for key in bpe_vocabulary(spec)}
    texts, types = (keys[f"tokenizer.ggml.{name}"].value for name in ("tokens", "token_type"))
    assert isinstance(texts, list)
    assert isinstance(types, list)
    extra = (
        Key("tokenizer.ggml.tokens", ARRAY, [*texts, *tokens], STRING),
        Key("tokenizer.ggml.token_type", ARRAY, [*types, *tokens.values()], I32),
    )
    return write_tiny_model(path, extra=(*extra, *changes), extra_tokens=len(tokens))


CASES: list[dict[str, int]] = [
    {"<|eot_id|>": USER_DEFINED, "<|eom_id|>": NORMAL},
    {"<end_of_turn>": NORMAL, "<eos>": CONTROL},
    {"<|return|>": CONTROL, "<|call|>": CONTROL, "<|end|>": CONTROL, "<|channel|>": CONTROL},
    {"<|flush|>": CONTROL, "<|calls|>": CONTROL, "<|end|>": CONTROL, "<|start|>": NORMAL},
    {"<|call|>": CONTROL, "<|end|>": CONTROL},
    {"<|tool_response>": USER_DEFINED, "</s>": CONTROL, "<turn|>": NORMAL},
    {"<|fim_prefix|>": NORMAL, "<|fim_pad|>": NORMAL, "<|file_sep|>": USER_DEFINED},
    {"<think>": USER_DEFINED, "[INST]": CONTROL, "plain": NORMAL},
]


@pytest.mark.parametrize("tokens", CASES, ids=lambda tokens: "_".join(tokens))
def test_tokens_that_llama_cpp_knows_by_their_spelling(
    tmp_path: Path, tokens: dict[str, int]
) -> None:
    assert_same(with_tokens(tmp_path / "tiny.gguf", tokens))


@pytest.mark.parametrize(
    "key",
    [
        Key("tokenizer.ggml.add_bos_token", BOOL, True),
        Key("tokenizer.ggml.pre", STRING, "llama-bpe"),
        Key("tokenizer.ggml.eot_token_id", U32, 5),
        Key("tokenizer.ggml.fim_pad_token_id", U32, 7),
        Key("tokenizer.ggml.eos_token_id", U32, 9),
    ],
    ids=lambda key: key.name,
)
def test_tokens_that_the_file_names(tmp_path: Path, key: Key) -> None:
    assert_same(with_tokens(tmp_path / "tiny.gguf", {"<|fim_pad|>": NORMAL}, key))


@pytest.mark.peers
@pytest.mark.parametrize(
    "name",
    [
        "aquila baichuan command-r deepseek-coder deepseek-llm falcon gemma-4 gpt-2 gpt-neox",
        "llama-bpe llama-spm mpt phi-3 qwen2 qwen35 refact starcoder",
    ],
)
def test_real_vocabularies(name: str) -> None:
    for one in name.split():
        assert_same(vocabulary_path(one))


def test_a_loadable_file_has_a_vocabulary(tmp_path: Path) -> None:
    file = read_gguf(write_tiny_model(tmp_path / "tiny.gguf"))
    check_loadable(file)

    vocabulary = GGUFVocabulary(file)

    assert vocabulary.token_bytes(vocabulary.vocab_size - 2) == b"<|im_end|>"
