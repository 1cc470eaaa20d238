"""A `tokenizer.json` as a `Tokenizer`: the one door to the `tokenizers` library.

User text never becomes a control token: the library is told to treat the spelling of special tokens
as text. Safe to call from any thread.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_llm.errors import (
    ConfigError,
    InvalidParameterError,
    ModelFormatError,
    ModelNotFoundError,
)
from edge_llm.prompt.hf_spelling import find_spelling, prefixes_first_only, without_space_prefix
from edge_llm.prompt.literals import LiteralIndex
from edge_llm.prompt.tokenizer import SpecialToken, TokenKind

MAX_FILE_BYTES = 1 << 26
"""Twice the largest in use (256k tokens, 33 MB)."""
MAX_VOCABULARY = 1 << 22

# fmt: off
_TURN_ENDS = frozenset(
    (
        "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>",
        "<end_of_turn>", "<turn|>", "</s>", "<eos>", "<|eos|>", "<|return|>", "<|call|>", "<|eot|>",
        "<EOT>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|END_OF_TURN_TOKEN|>",
    )
)
# fmt: on
"""Spellings that end a turn wherever they are special tokens.

Source: llama.cpp, src/llama-vocab.cpp, the list behind `special_eog_ids`.
"""
_UNKNOWN_ID = re.compile(r'"unk_id"\s*:\s*(\d{1,9})\b')
_SURROGATE = re.compile("[\ud800-\udfff]")
_EMPTY_MODEL: Mapping[str, Any] = {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"}


@dataclass(frozen=True, slots=True)
class TokenizerHints:
    """What other files of the model say about its tokens."""

    eos_ids: Set[int] = frozenset()
    bos_token: str | None = None
    eos_token: str | None = None
    add_bos: bool | None = None
    """None leaves it to what the tokenizer itself puts before a text."""
    vocab_size: int | None = None
    """Logits in a row, where that is known: often more than there are tokens."""


class HFTokenizer:
    """The vocabulary in one `tokenizer.json` (see `prompt.tokenizer.Tokenizer`)."""

    def __init__(self, path: Path, hints: TokenizerHints | None = None) -> None:
        """Read the file.

        Raises:
            ModelNotFoundError: it is missing.
            ModelFormatError: it is damaged.
            UnsupportedModelError: it works in a way that is not known here.
        """
        hints = hints or TokenizerHints()
        text = _read(path)
        self._tokenizer = _load(path, text)
        self._inner = _without_prefix(self._tokenizer)
        added_first = _added_first(self._tokenizer)
        states = [_state(getattr(self._tokenizer, part)) for part in _COMPONENTS]
        self._spell = find_spelling(states, self._tokenizer.model)
        if any(map(prefixes_first_only, states)):
            # In a chat a control token or BOS comes first, so that a start is never the very start.
            self._tokenizer = self._inner
        self._num_tokens: int = _checked_size(path, self._tokenizer)
        self.vocab_size: int = hints.vocab_size or self._num_tokens
        added = self._tokenizer.get_added_tokens_decoder()
        _check_ids(path, text, {token.content: token_id for token_id, token in added.items()})
        unknown = _unknown_id(self._tokenizer, text)
        self.special_tokens: tuple[SpecialToken, ...] = tuple(self._special_tokens(added, unknown))
        control = {t.id: t.text for t in self.special_tokens if t.kind is TokenKind.CONTROL}
        self._control = frozenset(control)
        self._literals = LiteralIndex(control.values())
        self._specials = {token.id: token for token in self.special_tokens}
        ids = {token.text: token.id for token in self.special_tokens}
        self.bos_id: int | None = self._find_bos(ids, hints, added_first)
        self.eos_id: int | None = self._find_eos(ids, hints)
        adds_bos = added_first == self.bos_id or hints.add_bos is True
        self.add_bos: bool = self.bos_id is not None and adds_bos
        self.eog_ids: frozenset[int] = self._find_ends(hints)
        self._pieces: dict[int, bytes] = {}
        self.adds_space_prefix: bool = self._spelled(self.encode("a")).startswith(b" ")

    def encode(self, text: str) -> list[int]:
        """Token ids of `text` with special tokens off and without BOS.

        A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD.
        """
        return self._encode(self._tokenizer, text)

    def encode_inner(self, text: str) -> list[int]:
        """As `encode`, for text that continues other text: never adds a leading space."""
        return self._encode(self._inner, text)

    def _encode(self, tokenizer: Any, text: str) -> list[int]:
        ids = _encode(tokenizer, text)
        if self._control.isdisjoint(ids):
            return ids
        # Unigram finds every entry of its vocabulary in a text, control tokens too.
        cuts = {start + 1 for start, _ in self._literals.find(text)}
        ids = self._encode_pieces(tokenizer, text, cuts)
        if self._control.isdisjoint(ids):
            return ids
        return self._encode_pieces(tokenizer, text, range(1, len(text)))

    def _encode_pieces(self, tokenizer: Any, text: str, cuts: Iterable[int]) -> list[int]:
        borders = [0, *sorted(cuts), len(text)]
        ids: list[int] = []
        for begin, end in itertools.pairwise(borders):
            ids += _encode(self._inner if begin else tokenizer, text[begin:end])
        return ids

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token; a control token gives its spelling, an unused id nothing.

        Raises:
            InvalidParameterError: no such token.
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
        """The bytes of each token in turn."""
        return [self.token_bytes(token_id) for token_id in range(self.vocab_size)]

    def _read_piece(self, token_id: int) -> bytes:
        special = self._specials.get(token_id)
        if special is not None and special.kind is TokenKind.CONTROL:
            return special.text.encode()
        entry: str | None = self._tokenizer.id_to_token(token_id)
        return b"" if entry is None else self._spell(entry)

    def _spelled(self, ids: Iterable[int]) -> bytes:
        return b"".join(self._read_piece(token_id) for token_id in ids)

    def _special_tokens(
        self, added: Mapping[int, Any], unknown: int | None
    ) -> Iterator[SpecialToken]:
        for token_id, token in sorted(added.items()):
            if token_id >= self.vocab_size or not token.content:
                continue  # the model has no embedding for it
            kind = TokenKind.CONTROL if token.special else TokenKind.USER_DEFINED
            if token_id == unknown:
                kind = TokenKind.UNKNOWN
            text = _as_text(token.content, self._spell, kind)
            yield SpecialToken(
                token_id, text, kind, strips_left=token.lstrip, strips_right=token.rstrip
            )
        if unknown is not None and unknown not in added:
            yield SpecialToken(unknown, self._tokenizer.id_to_token(unknown), TokenKind.UNKNOWN)

    def _find_bos(
        self, ids: Mapping[str, int], hints: TokenizerHints, added_first: int | None
    ) -> int | None:
        if hints.bos_token is not None:
            return ids.get(hints.bos_token)
        return added_first if added_first in self._specials else None

    def _find_eos(self, ids: Mapping[str, int], hints: TokenizerHints) -> int | None:
        if hints.eos_token is not None and hints.eos_token in ids:
            return ids[hints.eos_token]
        return min((i for i in hints.eos_ids if i < self.vocab_size), default=None)

    def _find_ends(self, hints: TokenizerHints) -> frozenset[int]:
        ends = {i for i in hints.eos_ids if i < self.vocab_size}
        ends |= {token.id for token in self.special_tokens if token.text in _TURN_ENDS}
        if self.eos_id is not None:
            ends.add(self.eos_id)
        return frozenset(ends)


_COMPONENTS = ("decoder", "pre_tokenizer", "normalizer")


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as exc:
        raise ConfigError(
            f"the library 'tokenizers' cannot be loaded: {exc}", hint="pip install tokenizers"
        ) from exc
    return tokenizers


@contextmanager
def _damage(problem: str) -> Iterator[None]:
    """Errors of the library, its panics included, as ours."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as exc:  # a panic of Rust code is no Exception
        raise ModelFormatError(f"{problem}: {exc}", hint="download tokenizer.json again") from exc


def _read(path: Path) -> str:
    if not path.is_file():
        raise ModelNotFoundError(
            f"the tokenizer {str(path)!r} is missing", hint="download it into the model's folder"
        )
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelFormatError(f"{str(path)!r} has more than {MAX_FILE_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelFormatError(f"{str(path)!r} cannot be read: {exc}") from exc


def _load(path: Path, text: str) -> Any:
    with _damage(f"{str(path)!r} is not a tokenizer that can be used"):
        tokenizer = _library().Tokenizer.from_str(text)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
    return tokenizer


def _checked_size(path: Path, tokenizer: Any) -> int:
    size: int = tokenizer.get_vocab_size(with_added_tokens=True)
    if not 0 < size <= MAX_VOCABULARY:
        raise ModelFormatError(f"{str(path)!r} has a vocabulary of {size} tokens")
    return size


def _without_prefix(tokenizer: Any) -> Any:
    """A tokenizer with the same model that never adds a leading space; the same one if it does not.

    The vocabulary is shared between them.
    """
    states = {part: _state(getattr(tokenizer, part)) for part in _COMPONENTS[1:]}
    quiet = {part: without_space_prefix(state) for part, state in states.items()}
    changed = any(
        state is not None and (new := quiet[part]) != state and _differs(state, new)
        for part, state in states.items()
    )
    if not changed:
        return tokenizer
    pattern = {part: None if state is None else json.loads(state) for part, state in quiet.items()}
    with _damage("the tokenizer adds spaces in a way that cannot be turned off"):
        library = _library()
        parts = library.Tokenizer.from_str(json.dumps({"model": _EMPTY_MODEL, **pattern}))
        inner = library.Tokenizer(tokenizer.model)
        for part in pattern:
            if getattr(parts, part) is not None:
                setattr(inner, part, getattr(parts, part))
        inner.add_tokens(list(_by_id(tokenizer)))
        inner.encode_special_tokens = True
        if inner.get_added_tokens_decoder().keys() != tokenizer.get_added_tokens_decoder().keys():
            raise ValueError("its added tokens change their ids")
    return inner


def _differs(state: bytes, other: bytes | None) -> bool:
    return other is None or json.loads(state) != json.loads(other)


def _by_id(tokenizer: Any) -> Iterator[Any]:
    added = tokenizer.get_added_tokens_decoder()
    return (added[token_id] for token_id in sorted(added))


def _state(component: Any) -> bytes | None:
    return None if component is None else component.__getstate__()


def _encode(tokenizer: Any, text: str) -> list[int]:
    if not text:
        return []
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _SURROGATE.sub("\ufffd", text)
    with _damage("the tokenizer cannot encode a text"):
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _added_first(tokenizer: Any) -> int | None:
    """What the tokenizer itself puts before a text."""
    plain = _encode(tokenizer, "a")
    with _damage("the tokenizer cannot encode a text"):
        ids: list[int] = tokenizer.encode("a").ids
    return ids[0] if len(ids) > len(plain) and ids[: len(plain)] != plain else None


def _unknown_id(tokenizer: Any, text: str) -> int | None:
    """The token for what cannot be spelled; Unigram does not tell, so its file is asked."""
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown:
        found: int | None = tokenizer.token_to_id(unknown)
        return found
    match = _UNKNOWN_ID.search(text) if type(tokenizer.model).__name__ == "Unigram" else None
    return int(match[1]) if match and tokenizer.id_to_token(int(match[1])) else None


def _as_text(content: str, spell: Any, kind: TokenKind) -> str:
    """What a token looks like in text: Gemma's runs of spaces are written with marks."""
    if kind is TokenKind.USER_DEFINED and content.strip("▁") == "":
        spelled: bytes = spell(content)
        return spelled.decode()
    return content


def _check_ids(path: Path, text: str, given: Mapping[str, int]) -> None:
    """Return when added tokens got the ids that the file gives them.

    The library numbers them anew where they leave a gap, and then the model reads other tokens.
    """
    for entry in _declared(text):
        content, token_id = entry.get("content"), entry.get("id")
        if isinstance(content, str) and given.get(content, token_id) != token_id:
            raise ModelFormatError(
                f"{str(path)!r}: the token {content!r} should be {token_id!r}, but the tokens"
                f" before it end at {given[content]}",
                hint="the file is damaged or belongs to another model",
            )


def _declared(text: str) -> list[dict[str, Any]]:
    """The added tokens as they stand in the file, without parsing the vocabulary after them."""
    start = text.find('"added_tokens"')
    if start < 0:
        return []
    try:
        begin = text.index("[", start)
        value = json.JSONDecoder().raw_decode(text, begin)[0]
    except (ValueError, RecursionError):
        return []
    return [entry for entry in value if isinstance(entry, dict)]
