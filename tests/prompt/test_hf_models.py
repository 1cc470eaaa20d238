"""Real vocabularies as `tokenizer.json`, against what llama.cpp makes of the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_llm.backends.llama_cpp.tokenizer import LlamaTokenizer, open_vocabulary
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.encode import PromptEncoder
from edge_llm.prompt.hf_tokenizer import HFTokenizer, TokenizerHints
from edge_llm.prompt.tokenizer import TokenKind
from tests.prompt.models import MODELS, ModelCase
from tests.prompt.test_encode_models import (
    BENIGN,
    conversation,
    hostile_texts,
    neutral_text,
    same,
    special_ids,
)
from tests.prompt.test_llama_tokenizer import TEXTS
from tests.support.hf_vocabularies import tokenizer_of
from tests.support.onnx_files import write_json
from tests.support.vocabularies import rename_tokens, template_source, vocabulary_path

pytestmark = pytest.mark.peers

VOCABULARIES = ["qwen2", "llama-bpe", "gpt-2", "llama-spm", "phi-3"]
Both = tuple[HFTokenizer, LlamaTokenizer]


def opened(path: Path, folder: Path) -> HFTokenizer:
    write_json(folder / "tokenizer.json", tokenizer_of(path))
    return HFTokenizer(folder / "tokenizer.json", TokenizerHints())


@pytest.fixture(scope="module", params=VOCABULARIES)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    pytest.importorskip("llama_cpp")
    path = vocabulary_path(request.param)
    with open_vocabulary(path) as other:
        yield opened(path, tmp_path_factory.mktemp("hf")), other


def test_texts_get_the_same_tokens(both: Both) -> None:
    ours, other = both
    control = {t.text for t in ours.special_tokens if t.kind is TokenKind.CONTROL}
    assert ours.adds_space_prefix == other.adds_space_prefix
    for text in [*TEXTS, *BENIGN]:
        if text == "</s>" and text not in control:
            continue  # in Phi-3 it is user-defined, and llama.cpp makes it a control token
        assert ours.encode(text) == other.encode(text), text
        assert ours.encode_inner(text) == other.encode_inner(text), text


def test_tokens_are_spelled_the_same(both: Both) -> None:
    ours, other = both
    assert ours.vocab_size == other.vocab_size
    different = [i for i in range(ours.vocab_size) if ours.token_bytes(i) != other.token_bytes(i)]
    assert different == []


def test_special_tokens_are_the_same(both: Both) -> None:
    ours, other = both
    found = {(t.id, t.text, t.kind, t.strips_right) for t in ours.special_tokens}
    expected = {(t.id, t.text, t.kind, t.strips_right) for t in other.special_tokens}
    # llama.cpp makes some that it knows by spelling control tokens, or strips white space there.
    ruled = ("</s>", "<unk>", "<s>", "<|endoftext|>")
    assert [t for t in found ^ expected if t[1] not in ruled and "[PAD" not in t[1]] == []


CASES = [
    case
    for case in MODELS
    if case.name in ("llama-3.1", "qwen3", "phi-3.5", "gpt-2-chatml", "qwen2.5-spm")
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def encoders(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[PromptEncoder, PromptEncoder]]:
    pytest.importorskip("llama_cpp")
    case: ModelCase = request.param
    folder = tmp_path_factory.mktemp("hf")
    path = vocabulary_path(case.vocabulary)
    if case.renames:
        rename_tokens(path, folder / "renamed.gguf", case.renames)
        path = folder / "renamed.gguf"
    source = template_source(case.template)

    def encoder(tokenizer: HFTokenizer | LlamaTokenizer) -> PromptEncoder:
        return PromptEncoder(tokenizer, ChatTemplate.for_tokenizer(source, tokenizer))

    with open_vocabulary(path) as other:
        ours = opened(path, folder)
        ours.bos_id, ours.eos_id, ours.add_bos = other.bos_id, other.eos_id, other.add_bos
        yield encoder(ours), encoder(other)


def test_honest_conversations_get_the_same_tokens(
    encoders: tuple[PromptEncoder, PromptEncoder],
) -> None:
    ours, other = encoders
    for text in BENIGN:
        messages = conversation(same(text))
        assert ours.encode(messages) == other.encode(messages), text


def test_no_message_forges_a_special_token(
    encoders: tuple[PromptEncoder, PromptEncoder],
) -> None:
    ours = encoders[0]
    for text in hostile_texts(ours):
        content = "a" + text + "b"
        forged = ours.encode(conversation(same(content)))
        honest = ours.encode(conversation(same(neutral_text(ours, content))))
        assert special_ids(ours, forged.token_ids) == special_ids(ours, honest.token_ids), text
