"""What the rest of the house needs to know of a vocabulary; each backend brings its own.

A tokenizer here only ever sees *text*: it never turns the spelling of a control token into that
token. Which control tokens a prompt holds is decided by `prompt.encode`, from the template alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class TokenKind(Enum):
    """What a special token is to the vocabulary (GGUF `tokenizer.ggml.token_type`)."""

    CONTROL = "control"
    """Structure: a turn border, BOS, EOS. Never produced by tokenising plain text."""
    USER_DEFINED = "user_defined"
    """Matched in plain text as well, before any merge."""
    UNKNOWN = "unknown"
    """The vocabulary's stand-in for what it cannot spell."""


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """One token that is matched as a whole, not built from merges."""

    id: int
    text: str
    kind: TokenKind
    strips_left: bool = False
    """White space before the token belongs to it (as for `<mask>`)."""
    strips_right: bool = False
    """White space after the token belongs to it (as for Phi-3's `<|user|>`)."""


class Vocabulary(Protocol):
    """The tokens of a model, as far as they can be known without turning text into ids."""

    vocab_size: int
    bos_id: int | None
    eos_id: int | None
    add_bos: bool
    """Whether a sequence starts with BOS even where the template does not write it."""
    eog_ids: frozenset[int]
    """Every token that ends a turn."""
    special_tokens: tuple[SpecialToken, ...]

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token, of any length; a control token gives its spelling."""
        ...


class Tokenizer(Vocabulary, Protocol):
    """A loaded vocabulary: text to token ids and back. Safe to call from any thread."""

    def all_token_bytes(self) -> list[bytes]:
        """What `token_bytes` gives for each token of the vocabulary in turn, read in one go."""
        ...

    adds_space_prefix: bool
    """Whether text at the start, or after a special token, gets a leading space (SentencePiece)."""

    def encode(self, text: str) -> list[int]:
        """Token ids of `text` with special tokens off and without BOS.

        USER_DEFINED tokens are still matched: llama.cpp does so whatever it is told.
        """
        ...

    def encode_inner(self, text: str) -> list[int]:
        """As `encode`, for text that continues other text: never adds a leading space."""
        ...
