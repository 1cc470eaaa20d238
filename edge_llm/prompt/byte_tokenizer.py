"""A vocabulary of 256 bytes and some special tokens: small enough to follow by eye."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edge_llm.errors import InvalidParameterError
from edge_llm.prompt.tokenizer import SpecialToken, TokenKind

_NUM_BYTES = 256


class ByteTokenizer:
    """Byte `b` is token `b`; special tokens follow from 256 on, in the order given."""

    def __init__(
        self,
        special_tokens: Sequence[str] = (
            "<|im_start|>",
            "<|im_end|>",
            "<think>",
            "</think>",
            "<tool_call>",
            "</tool_call>",
        ),
        *,
        user_defined: Sequence[str] = (),
        eog: Sequence[str] = ("<|im_end|>",),
        bos: str | None = None,
    ) -> None:
        """`special_tokens` are control tokens; `user_defined` ones are matched in plain text too.

        Names in `eog` that are no special token are left out; a `bos` is put before every prompt.
        """
        kinds = [(text, TokenKind.CONTROL) for text in special_tokens]
        kinds += [(text, TokenKind.USER_DEFINED) for text in user_defined]
        self.special_tokens = tuple(
            SpecialToken(_NUM_BYTES + index, text, kind) for index, (text, kind) in enumerate(kinds)
        )
        ids = {token.text: token.id for token in self.special_tokens}
        ends = [ids[text] for text in eog if text in ids]
        self.vocab_size = _NUM_BYTES + len(kinds)
        self.bos_id = ids[bos] if bos is not None else None
        self.eos_id = ends[0] if ends else None
        self.add_bos = bos is not None
        self.adds_space_prefix = False
        self.eog_ids = frozenset(ends)
        self._pieces = [bytes((b,)) for b in range(_NUM_BYTES)]
        self._pieces += [token.text.encode() for token in self.special_tokens]
        self._user_defined = {text: ids[text] for text in user_defined}
        longest_first = sorted(user_defined, key=len, reverse=True)
        self._matcher = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; a lone surrogate becomes U+FFFD."""
        if not self._user_defined:
            return list(_utf8(text))
        ids: list[int] = []
        for part in self._matcher.split(text):
            special = self._user_defined.get(part)
            ids += _utf8(part) if special is None else [special]
        return ids

    def encode_inner(self, text: str) -> list[int]:
        """As `encode`: bytes never get a leading space."""
        return self.encode(text)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token; a special token gives its spelling.

        Raises:
            InvalidParameterError: no such token.
        """
        if not 0 <= token_id < self.vocab_size:
            raise InvalidParameterError(
                f"token id {token_id!r} is outside the vocabulary of {self.vocab_size} tokens"
            )
        return self._pieces[token_id]

    def all_token_bytes(self) -> list[bytes]:
        """The bytes of each token in turn."""
        return list(self._pieces)


def _utf8(text: str) -> bytes:
    # utf-16 joins a pair of surrogates and replaces a lone one.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
