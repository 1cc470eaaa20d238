"""A GGUF vocabulary as a `Tokenizer`. Safe to call from any thread while the model is loaded."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_llm.backends.llama_cpp.native import load_library
from edge_llm.errors import (
    BackendError,
    InvalidParameterError,
    ModelFormatError,
    ModelNotFoundError,
    RuntimeClosedError,
)
from edge_llm.prompt.tokenizer import SpecialToken, TokenKind

# Source: llama.h `enum llama_token_attr`.
_ATTR_UNKNOWN = 1 << 0
_ATTR_CONTROL = 1 << 3
_ATTR_USER_DEFINED = 1 << 4
_ATTR_LSTRIP = 1 << 7
_ATTR_RSTRIP = 1 << 8
_ATTR_SPECIAL = _ATTR_UNKNOWN | _ATTR_CONTROL | _ATTR_USER_DEFINED

_FENCES = "\x01\x02\x03\x04\x05\x06\x0e\x0f\x10\x11"
"""Candidates for a character that merges with nothing (see `encode_inner`)."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class LlamaTokenizer:
    """The vocabulary of one loaded model (see `prompt.tokenizer.Tokenizer` for the contract).

    It borrows `vocab`: whoever frees the model calls `close` first.
    """

    def __init__(self, vocab: Any) -> None:
        self._lib = load_library()
        self._vocab = vocab
        self._num_calls = 0
        self._calls_changed = threading.Condition()
        self._pieces: dict[int, bytes] = {}
        self.vocab_size: int = self._lib.llama_vocab_n_tokens(vocab)
        self.bos_id: int | None = self._known(self._lib.llama_vocab_bos(vocab))
        self.eos_id: int | None = self._known(self._lib.llama_vocab_eos(vocab))
        self.add_bos: bool = bool(self._lib.llama_vocab_get_add_bos(vocab)) and (
            self.bos_id is not None
        )
        self.special_tokens: tuple[SpecialToken, ...] = tuple(self._read_special_tokens())
        self.eog_ids: frozenset[int] = self._read_eog_ids()
        # The library has no question for this, so look at what it does.
        self.adds_space_prefix: bool = self._spells("a").startswith(b" ")
        self._fence, self._num_fence_ids = self._find_fence()

    def close(self) -> None:
        """Forget the vocabulary once no call is inside it; later ones get `RuntimeClosedError`."""
        with self._calls_changed:
            self._vocab = None
            self._calls_changed.wait_for(lambda: self._num_calls == 0)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text` with special tokens off and without BOS.

        A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD.
        """
        return self._tokenize(text, parse_special=False)

    def encode_inner(self, text: str) -> list[int]:
        """As `encode`, for text that continues other text: never adds a leading space."""
        if not self.adds_space_prefix:
            return self.encode(text)
        # The space goes in front of the fence instead, and both are dropped.
        return self.encode(self._fence + text)[self._num_fence_ids :]

    def encode_with_special(self, text: str) -> list[int]:
        """Token ids of `text` with the spelling of special tokens parsed: for trusted text only."""
        return self._tokenize(text, parse_special=True)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token, of any length; a control token gives its spelling.

        Raises:
            InvalidParameterError: no such token (llama.cpp itself would end the process).
        """
        piece = self._pieces.get(token_id)
        if piece is None:
            if not 0 <= token_id < self.vocab_size:
                raise InvalidParameterError(
                    f"token id {token_id!r} is outside the vocabulary of {self.vocab_size} tokens"
                )
            piece = self._pieces[token_id] = self._read_piece(token_id)
        return piece

    def all_token_bytes(self) -> list[bytes]:
        """The bytes of each token in turn: 0.2 s for 152k tokens, a fifth of one by one."""
        size = 128
        buffer = ctypes.create_string_buffer(size)
        pieces: list[bytes] = []
        with self._open() as vocab:
            to_piece = self._lib.llama_token_to_piece
            for token_id in range(self.vocab_size):
                count: int = to_piece(vocab, token_id, buffer, size, 0, True)
                pieces.append(
                    ctypes.string_at(buffer, count) if count >= 0 else self._read_piece(token_id)
                )
        return pieces

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """The vocabulary for one call into the library, which `close` waits for."""
        with self._calls_changed:
            if self._vocab is None:
                raise RuntimeClosedError("the model was closed", hint="load it again")
            vocab = self._vocab
            self._num_calls += 1
        try:
            yield vocab
        finally:
            with self._calls_changed:
                self._num_calls -= 1
                self._calls_changed.notify_all()

    def _tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        raw = _utf8(text)
        if not raw:
            return []
        capacity = len(raw) // 2 + 8
        for _ in range(2):
            ids = (ctypes.c_int32 * capacity)()
            with self._open() as vocab:
                count: int = self._lib.llama_tokenize(
                    vocab, raw, len(raw), ids, capacity, False, parse_special
                )
            if count >= 0:
                return ids[:count]
            capacity = -count
        raise BackendError(f"llama.cpp could not tokenise a text of {len(raw)} bytes")

    def _read_piece(self, token_id: int) -> bytes:
        size = 32
        for _ in range(2):
            buffer = ctypes.create_string_buffer(size)
            with self._open() as vocab:
                count: int = self._lib.llama_token_to_piece(vocab, token_id, buffer, size, 0, True)
            if count >= 0:
                return buffer.raw[:count]
            size = -count
        raise BackendError(f"llama.cpp could not spell token {token_id}")

    def _read_special_tokens(self) -> Iterator[SpecialToken]:
        vocab = self._vocab
        attr_of = self._lib.llama_vocab_get_attr  # 0.5 us a token: this loop is most of the cost
        for token_id in range(self.vocab_size):
            attr = attr_of(vocab, token_id)
            if attr & _ATTR_SPECIAL:
                text = self._lib.llama_vocab_get_text(vocab, token_id) or b""
                yield SpecialToken(
                    token_id,
                    text.decode("utf-8", "replace"),
                    _kind(attr),
                    strips_left=bool(attr & _ATTR_LSTRIP),
                    strips_right=bool(attr & _ATTR_RSTRIP),
                )

    def _read_eog_ids(self) -> frozenset[int]:
        # Those that llama.cpp finds by their spelling it makes control tokens; those that a file
        # names may be ordinary text.
        lib, vocab = self._lib, self._vocab
        named = (lib.llama_vocab_eot, lib.llama_vocab_fim_pad, lib.llama_vocab_fim_rep)
        candidates = [token.id for token in self.special_tokens]
        candidates += [token_of(vocab) for token_of in (*named, lib.llama_vocab_fim_sep)]
        candidates = [i for i in (*candidates, self.eos_id) if i is not None and i >= 0]
        return frozenset(i for i in candidates if lib.llama_vocab_is_eog(vocab, i))

    def _known(self, token_id: int) -> int | None:
        return token_id if 0 <= token_id < self.vocab_size else None

    def _spells(self, text: str) -> bytes:
        return b"".join(self.token_bytes(i) for i in self.encode(text))

    def _find_fence(self) -> tuple[str, int]:
        """A character that never merges, and how many tokens it takes (its space included)."""
        if not self.adds_space_prefix:
            return "", 0
        for fence in _FENCES:
            ids = self.encode(fence)
            # A byte token ends at its byte: nothing in the vocabulary continues from it.
            if len(ids) >= 2 and self.token_bytes(ids[-1]) == fence.encode():
                return fence, len(ids)
        raise ModelFormatError("the vocabulary has no byte tokens, so it cannot spell every text")


@contextmanager
def open_vocabulary(path: str | os.PathLike[str]) -> Iterator[LlamaTokenizer]:
    """The tokenizer of a GGUF file, read without its weights and closed on leaving.

    Raises:
        ModelNotFoundError: no file at `path`.
        ModelFormatError: llama.cpp cannot read it.
    """
    if not Path(path).is_file():
        raise ModelNotFoundError(f"no file at {os.fspath(path)!r}")
    lib = load_library()
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelFormatError(f"llama.cpp cannot read the vocabulary of {os.fspath(path)!r}")
    try:
        tokenizer = LlamaTokenizer(lib.llama_model_get_vocab(model))
        try:
            yield tokenizer
        finally:
            tokenizer.close()
    finally:
        lib.llama_model_free(model)


def _kind(attr: int) -> TokenKind:
    # A token may carry several bits; llama.cpp leaves it out of plain text if one of these is set.
    if attr & _ATTR_CONTROL:
        return TokenKind.CONTROL
    return TokenKind.UNKNOWN if attr & _ATTR_UNKNOWN else TokenKind.USER_DEFINED


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode("utf-8")
