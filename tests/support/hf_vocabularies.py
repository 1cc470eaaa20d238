"""A `tokenizer.json` with the entries of a GGUF vocabulary, as transformers writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_llm.hub.gguf import GGUFArray, GGUFFile, read_gguf
from tests.support.onnx_files import added_token
from tests.support.vocabularies import CONTROL, UNKNOWN, USER_DEFINED

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {
    "qwen2": _WORDS + r"\p{N}" + _REST,
    "llama-bpe": _WORDS + r"\p{N}{1,3}" + _REST,
}
"""Source: pre_tokenizer of the tokenizer.json of Qwen2.5 and of Llama 3."""


def tokenizer_of(path: Path) -> dict[str, Any]:
    """The tokenizer.json that belongs to a vocabulary file."""
    file = read_gguf(path)
    tokens = _strings(file, "tokenizer.ggml.tokens")
    types = _array(file, "tokenizer.ggml.token_type").numbers()
    # Phi-3's control tokens swallow white space after them. Source: its tokenizer.json.
    is_phi = "<|assistant|>" in tokens[-80:]
    added = [
        added_token(i, text, special=kind != USER_DEFINED, rstrip=is_phi and text.startswith("<|"))
        for i, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ]
    # All of them, because added tokens in the middle keep their ids only if the model has them too.
    vocab = {text: i for i, text in enumerate(tokens)}
    if file.metadata["tokenizer.ggml.model"] == "gpt2":
        return _byte_level(file, vocab, added)
    return _sentencepiece(file, vocab, added)


def _byte_level(
    file: GGUFFile, vocab: dict[str, int], added: list[dict[str, Any]]
) -> dict[str, Any]:
    split = SPLITS.get(str(file.metadata["tokenizer.ggml.pre"]))
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    steps: list[dict[str, Any]] = [byte_level | {"use_regex": split is None}]
    if split is not None:
        pattern = {"Regex": split}
        steps.insert(0, {"type": "Split", "pattern": pattern, "behavior": "Isolated",
                         "invert": False})  # fmt: skip
    pairs = [m.split(" ") for m in _strings(file, "tokenizer.ggml.merges")]
    merges = [pair for pair in pairs if {*pair, "".join(pair)} <= vocab.keys()]
    return _file(
        added,
        {"type": "Sequence", "pretokenizers": steps},
        byte_level | {"use_regex": True},
        _bpe(vocab, merges) | {"ignore_merges": split is not None and "{1,3}" in split},
    )


def _sentencepiece(
    file: GGUFFile, vocab: dict[str, int], added: list[dict[str, Any]]
) -> dict[str, Any]:
    scores = _array(file, "tokenizer.ggml.scores").numbers()
    pairs = [
        (-scores[vocab[piece]], vocab[piece[:cut]], piece[:cut], piece[cut:])
        for piece in vocab
        for cut in range(1, len(piece))
        if piece[:cut] in vocab and piece[cut:] in vocab
    ]
    merges = [[left, right] for _, _, left, right in sorted(pairs)]
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    steps = [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]
    model = _bpe(vocab, merges) | {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    value = _file(added, None, {"type": "Sequence", "decoders": decoders}, model)
    return value | {"normalizer": {"type": "Sequence", "normalizers": steps}}


def _bpe(vocab: dict[str, int], merges: list[list[str]]) -> dict[str, Any]:
    return {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
        "ignore_merges": False, "vocab": vocab, "merges": merges,
    }  # fmt: skip


def _file(added: list[dict[str, Any]], before: Any, after: Any, model: Any) -> dict[str, Any]:
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None, "pre_tokenizer": before, "post_processor": None, "decoder": after,
        "model": model,
    }  # fmt: skip


def _array(file: GGUFFile, key: str) -> GGUFArray:
    value = file.metadata[key]
    assert isinstance(value, GGUFArray)
    return value


def _strings(file: GGUFFile, key: str) -> list[str]:
    return _array(file, key).strings()
