"""`tokenizer.json` as a vocabulary: what is text, what is structure, what is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edge_llm.errors import (
    InvalidParameterError,
    ModelFormatError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from edge_llm.prompt.audit import unprotected_turns
from edge_llm.prompt.chat_template import CHATML, ChatTemplate
from edge_llm.prompt.encode import PromptEncoder
from edge_llm.prompt.hf_tokenizer import HFTokenizer, TokenizerHints
from edge_llm.prompt.tokenizer import TokenKind
from tests.support.onnx_files import (
    added_token,
    byte_level_tokenizer,
    sentencepiece_tokenizer,
    write_json,
)

TEXTS = [
    "Hello",
    "hello there",
    " two  spaces ",
    "Grüße 你好 🏳️‍🌈",
    "\t\n\r\n",
    "\0 \x01",
    "h" * 200,
    " " * 80,
    "</s>",
    "<|im_end|>",
    "▁ marks",
]
KINDS: dict[str, dict[str, Any]] = {
    "byte level": byte_level_tokenizer(user_defined=["<think>"]),
    "byte level with prefix": byte_level_tokenizer(),
    "metaspace": sentencepiece_tokenizer(),
    "metaspace first": sentencepiece_tokenizer(prefix="first"),
    "metaspace never": sentencepiece_tokenizer(prefix="never"),
    "normalizer": sentencepiece_tokenizer(prefix="normalizer"),
    "unigram": sentencepiece_tokenizer("Unigram"),
}
KINDS["byte level with prefix"]["pre_tokenizer"]["add_prefix_space"] = True
ADDS_SPACE = {"byte level with prefix", "metaspace", "normalizer", "unigram"}


def open_tokenizer(folder: Path, value: Any, **hints: Any) -> HFTokenizer:
    write_json(folder / "tokenizer.json", value)
    return HFTokenizer(folder / "tokenizer.json", TokenizerHints(**hints))


def spelled(tokenizer: HFTokenizer, ids: list[int]) -> str:
    return b"".join(map(tokenizer.token_bytes, ids)).decode()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def tokenizer(kind: str, tmp_path: Path) -> HFTokenizer:
    return open_tokenizer(tmp_path, KINDS[kind], eos_token="<|im_end|>")


def test_texts_survive_there_and_back(kind: str, tokenizer: HFTokenizer) -> None:
    assert tokenizer.adds_space_prefix == (kind in ADDS_SPACE)
    for text in TEXTS:
        if "▁" in text and "byte level" not in kind:
            continue  # in these vocabularies a mark is a space
        start = spelled(tokenizer, tokenizer.encode(text))
        inner = spelled(tokenizer, tokenizer.encode_inner(text))
        assert inner == text
        assert start in ({text, " " + text} if tokenizer.adds_space_prefix else {text})


def test_text_never_becomes_a_control_token(tokenizer: HFTokenizer) -> None:
    control = {t.id for t in tokenizer.special_tokens if t.kind is TokenKind.CONTROL}
    assert control
    for token in tokenizer.special_tokens:
        if token.kind is TokenKind.CONTROL:
            assert control.isdisjoint(tokenizer.encode(f"a{token.text}b"))
            assert control.isdisjoint(tokenizer.encode_inner(token.text))


def test_lone_surrogates_become_replacement_characters(tokenizer: HFTokenizer) -> None:
    assert tokenizer.encode("a\ud800b") == tokenizer.encode("a\ufffdb")


def test_token_ids_outside_are_refused(tokenizer: HFTokenizer) -> None:
    for token_id in (-1, tokenizer.vocab_size, 2**31):
        with pytest.raises(InvalidParameterError):
            tokenizer.token_bytes(token_id)


def test_many_threads_get_the_same(tokenizer: HFTokenizer) -> None:
    expected = [tokenizer.encode(text) for text in TEXTS]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: [tokenizer.encode(t) for t in TEXTS], range(50)))
    assert all(result == expected for result in results)


def forged_ids(tokenizer: HFTokenizer, content: str) -> tuple[list[int], list[int]]:
    """Control tokens of a conversation with `content`, and of one with harmless text."""
    encoder = PromptEncoder(tokenizer, ChatTemplate.for_tokenizer(CHATML, tokenizer))
    special = {token.id for token in tokenizer.special_tokens}

    def control(text: str) -> list[int]:
        messages = [{"role": "system", "content": text}, {"role": "user", "content": text}]
        return [i for i in encoder.encode(messages).token_ids if i in special]

    return control(content), control("neutral")


@pytest.mark.parametrize("name", ["byte level", "byte level with prefix", "unigram"])
def test_no_message_forges_a_turn(tmp_path: Path, name: str) -> None:
    value = json.loads(json.dumps(KINDS[name]))
    size = max(token["id"] for token in value["added_tokens"]) + 1
    for text in ("<|im_start|>", "<tool_call>"):
        if all(token["content"] != text for token in value["added_tokens"]):
            value["added_tokens"].append(added_token(size, text, special="call" not in text))
            size += 1
    tokenizer = open_tokenizer(tmp_path, value)
    encoder = PromptEncoder(tokenizer, ChatTemplate.for_tokenizer(CHATML, tokenizer))
    assert unprotected_turns(encoder.template, encoder.tokenizer.special_tokens) is None

    for text in (token.text for token in tokenizer.special_tokens):
        for content in (text, f"a{text}b", text[:3] + text + text[3:], text * 2, f" {text} "):
            forged, honest = forged_ids(tokenizer, content)
            unknown = {t.id for t in tokenizer.special_tokens if t.kind is TokenKind.UNKNOWN}
            assert [i for i in forged if i not in unknown] == honest, content


def test_special_tokens_are_told_apart(tmp_path: Path) -> None:
    value = sentencepiece_tokenizer()
    size = max(token["id"] for token in value["added_tokens"]) + 1
    value["added_tokens"].append(added_token(size, "▁▁", special=False))
    tokens = {t.text: t for t in open_tokenizer(tmp_path, value).special_tokens}

    assert tokens["<unk>"].kind is TokenKind.UNKNOWN
    assert tokens["<s>"].kind is TokenKind.CONTROL
    assert tokens["<|im_end|>"].strips_right
    assert not tokens["<s>"].strips_right
    assert tokens["  "].kind is TokenKind.USER_DEFINED


def test_bos_comes_from_the_tokenizer_or_its_configuration(tmp_path: Path) -> None:
    def bos(value: Any, **hints: Any) -> tuple[int | None, bool]:
        found = open_tokenizer(tmp_path, value, **hints)
        return found.bos_id, found.add_bos

    without = byte_level_tokenizer()
    assert bos(sentencepiece_tokenizer()) == (1, True)
    assert bos(sentencepiece_tokenizer(prefix="first")) == (1, True)
    assert bos(sentencepiece_tokenizer(), bos_token="<s>", add_bos=False) == (1, True)
    assert bos(without) == (None, False)
    assert bos(without, bos_token="<|endoftext|>") == (264, False)
    assert bos(without, bos_token="<|endoftext|>", add_bos=True) == (264, True)
    assert bos(without, bos_token="<nowhere>", add_bos=True) == (None, False)


def test_every_end_of_a_turn_is_known(tmp_path: Path) -> None:
    value = byte_level_tokenizer()
    assert open_tokenizer(tmp_path, value).eog_ids == {263, 264}
    found = open_tokenizer(
        tmp_path, value, eos_ids=frozenset((65, 10**6)), eos_token="<|im_start|>"
    )
    assert (found.eos_id, sorted(found.eog_ids)) == (262, [65, 262, 263, 264])


def test_more_logits_than_tokens_and_fewer(tmp_path: Path) -> None:
    value = byte_level_tokenizer(user_defined=["<image>"])
    padded = open_tokenizer(tmp_path, value, vocab_size=300)
    assert (padded.vocab_size, padded.token_bytes(299)) == (300, b"")

    short = open_tokenizer(tmp_path, value, vocab_size=265)
    assert "<image>" not in {token.text for token in short.special_tokens}


def test_a_file_cannot_truncate_prompts(tmp_path: Path) -> None:
    assert len(open_tokenizer(tmp_path, sentencepiece_tokenizer()).encode("t " * 50)) > 50


def test_added_tokens_with_other_ids_than_they_say_are_refused(tmp_path: Path) -> None:
    value = byte_level_tokenizer()
    value["added_tokens"][1]["id"] = 5000

    with pytest.raises(ModelFormatError, match="im_end"):
        open_tokenizer(tmp_path, value)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": {"type": "WordPiece", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]",
                    "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}},
         UnsupportedModelError),
        ({"model": {"type": "Quantum"}}, ModelFormatError),
        ({"model": None}, ModelFormatError),
        ({"added_tokens": 5}, ModelFormatError),
        ({"decoder": {"type": "CTC", "pad_token": "x", "word_delimiter_token": "|",
                      "cleanup": True}, "pre_tokenizer": None}, UnsupportedModelError),
    ],
)  # fmt: skip
def test_tokenizers_of_another_kind_are_refused(
    tmp_path: Path, change: dict[str, Any], error: type[ModelFormatError]
) -> None:
    with pytest.raises(error):
        open_tokenizer(tmp_path, byte_level_tokenizer() | change)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"tokenizer\.json"):
        HFTokenizer(tmp_path / "tokenizer.json")
    for content in (b"", b"{}", b"\xff\xfe", b"[" * 10**5, b'{"model": '):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(ModelFormatError, match=r"tokenizer\.json"):
            HFTokenizer(tmp_path / "tokenizer.json")
