from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge_llm.backends.llama_cpp import native
from edge_llm.backends.llama_cpp.tokenizer import LlamaTokenizer, open_vocabulary
from edge_llm.errors import (
    ConfigError,
    InvalidParameterError,
    ModelFormatError,
    ModelNotFoundError,
    RuntimeClosedError,
)
from edge_llm.prompt.audit import unprotected_turns
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.encode import PromptEncoder
from edge_llm.prompt.tokenizer import TokenKind
from tests.prompt.conftest import OpenVocabulary
from tests.support.vocabularies import template_source, vector_paths, vocabulary_path

peers = pytest.mark.peers
VOCABULARIES = ["llama-bpe", "llama-spm", "qwen2", "gemma-4", "phi-3", "gpt-2"]
TEXTS = [
    "Hello",
    " two  spaces ",
    "Grüße 你好 🏳️‍🌈",
    "\t\n\r\n",
    "\0 \x01",
    "a" * 200,
    " " * 80,
    "</s>",
]


@peers
@pytest.mark.parametrize("name", [*VOCABULARIES, "deepseek-coder", "starcoder", "command-r"])
def test_the_vectors_of_llama_cpp_hold(open_peer: OpenVocabulary, name: str) -> None:
    texts, results = vector_paths(name)
    tokenizer = open_peer(name)
    cases = texts.read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    expected = [[int(i) for i in line.split()] for line in results.read_text().splitlines()]

    assert [tokenizer.encode(text) for text in cases if text or cases][: len(expected)] == expected


@peers
@pytest.mark.parametrize("name", VOCABULARIES)
def test_texts_survive_there_and_back(open_peer: OpenVocabulary, name: str) -> None:
    tokenizer = open_peer(name)
    for text in TEXTS:
        spelled = b"".join(map(tokenizer.token_bytes, tokenizer.encode(text))).decode()
        assert spelled == (" " + text if tokenizer.adds_space_prefix else text)
        inner = b"".join(map(tokenizer.token_bytes, tokenizer.encode_inner(text))).decode()
        assert inner == text


@peers
def test_only_sentencepiece_adds_a_space(open_peer: OpenVocabulary) -> None:
    assert [open_peer(name).adds_space_prefix for name in VOCABULARIES] == [
        False, True, False, False, True, False,
    ]  # fmt: skip


@peers
def test_tokens_of_any_length_are_spelled(open_peer: OpenVocabulary) -> None:
    tokenizer = open_peer("llama-bpe")
    longest = max(range(tokenizer.vocab_size), key=lambda i: len(tokenizer.token_bytes(i)))

    assert len(tokenizer.token_bytes(longest)) == 128
    for token_id in (-1, tokenizer.vocab_size, 2**31):
        with pytest.raises(InvalidParameterError):
            tokenizer.token_bytes(token_id)


@peers
def test_special_tokens_are_told_apart(open_peer: OpenVocabulary) -> None:
    gemma = {token.text: token for token in open_peer("gemma-4").special_tokens}
    phi = {token.text: token for token in open_peer("phi-3").special_tokens}

    assert gemma["<|turn>"].kind is TokenKind.CONTROL
    assert gemma["<|tool_call>"].kind is TokenKind.USER_DEFINED
    assert phi["<|user|>"].strips_right
    assert not phi["<s>"].strips_right
    llama = open_peer("llama-bpe")
    assert {llama.token_bytes(i) for i in llama.eog_ids} >= {b"<|eot_id|>", b"<|end_of_text|>"}
    assert llama.token_bytes(llama.bos_id or 0) == b"<|begin_of_text|>"


@peers
def test_lone_surrogates_become_replacement_characters(open_peer: OpenVocabulary) -> None:
    tokenizer = open_peer("llama-bpe")

    assert tokenizer.encode("a\ud800b") == tokenizer.encode("a\ufffdb")


@peers
def test_user_defined_tokens_match_even_in_plain_text(open_peer: OpenVocabulary) -> None:
    assert open_peer("gemma-4").encode("<|tool_call>") == [48]


@peers
def test_a_closed_tokenizer_refuses(open_peer: OpenVocabulary) -> None:
    with open_vocabulary(vocabulary_path("llama-spm")) as tokenizer:
        known = tokenizer.encode("hi")
    with pytest.raises(RuntimeClosedError):
        tokenizer.encode("hi")
    assert known


@peers
def test_instructions_in_plain_text_are_warned_about(open_peer: OpenVocabulary) -> None:
    tokenizer: LlamaTokenizer = open_peer("gpt-2")
    source = template_source("mistralai-Mistral-Nemo-Instruct-2407")
    encoder = PromptEncoder(tokenizer, ChatTemplate(source, bos_token="", eos_token=""))

    assert "[/INST]" in (
        unprotected_turns(encoder.template, encoder.tokenizer.special_tokens) or ""
    )


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError), open_vocabulary(tmp_path / "none.gguf"):
        pass
    pytest.importorskip("llama_cpp")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelFormatError), open_vocabulary(broken):
        pass


def test_another_version_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        __version__ = "0.0.1"

    monkeypatch.setattr(native, "_library", None)
    monkeypatch.setattr("importlib.import_module", lambda _: Other)
    with pytest.raises(ConfigError, match=r"'0\.0\.1'"):
        native.load_library()


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(native, "_library", None)
    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ConfigError, match=r"edge-llm\[gguf\]"):
        native.load_library()


def test_log_fragments_become_lines(caplog: pytest.LogCaptureFixture) -> None:
    lines = native.LogLines(logging.getLogger("edge_llm.llama_cpp"))
    caplog.set_level(logging.DEBUG, "edge_llm.llama_cpp")

    for level, text in [
        (2, b"first"), (5, b" line\nsecond"), (5, b"\n"), (1, b"..."), (5, b"...\n"),
        (3, b"bad \xff\n"), (4, b"unfinished"), (1, b"next\n"), (9, None),
    ]:  # fmt: skip
        lines(level, text, None)

    assert [(r.levelno, r.message) for r in caplog.records] == [
        (logging.DEBUG, "first line"),
        (logging.DEBUG, "second"),
        (logging.INFO, "bad \ufffd"),
        (logging.WARNING, "unfinished"),
        (logging.DEBUG, "next"),
    ]


def test_both_tokenizers_agree_on_the_contract() -> None:
    tokenizer = ByteTokenizer()

    assert b"".join(map(tokenizer.token_bytes, tokenizer.encode("é"))) == "é".encode()
