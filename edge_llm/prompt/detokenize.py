"""Token ids to text, one token at a time. Not thread-safe: one `Detokenizer` per answer."""

from __future__ import annotations

import codecs
from collections.abc import Set as AbstractSet

from edge_llm.prompt.calls.base import CallFormat
from edge_llm.prompt.calls.reasoning import THINK, Reasoning
from edge_llm.prompt.calls.registry import GENERIC
from edge_llm.prompt.tokenizer import Tokenizer, TokenKind


class Detokenizer:
    """Turns the tokens of one answer into text as they come; constant work per token.

    Text comes out as soon as its bytes decide it: a character is never split, at most three bytes
    are held back, and bytes that are no UTF-8 become U+FFFD.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        keep: AbstractSet[int] = frozenset(),
        *,
        drops_space: bool = True,
    ) -> None:
        """Control tokens give no text, except those in `keep` (see `marker_ids`).

        Without `drops_space` every space is one that was meant, the first too.
        """
        self._tokenizer = tokenizer
        self._silent = _silent_ids(tokenizer) - keep
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # SentencePiece writes the first word of an answer with a space that nobody asked for.
        self._drops_space = drops_space and tokenizer.adds_space_prefix

    def add(self, *token_ids: int) -> str:
        """The text that these tokens complete; often empty."""
        pieces = [self._tokenizer.token_bytes(one) for one in token_ids if one not in self._silent]
        return self._finish(self._decoder.decode(b"".join(pieces))) if pieces else ""

    def flush(self) -> str:
        """The text of what is still held back: bytes of a character that was never completed."""
        return self._finish(self._decoder.decode(b"", final=True))

    def _finish(self, text: str) -> str:
        if self._drops_space and text:
            self._drops_space = False
            return text.removeprefix(" ")
        return text


def marker_ids(
    tokenizer: Tokenizer, format: CallFormat = GENERIC, reasoning: Reasoning = THINK
) -> frozenset[int]:
    """The special tokens that `OutputParser` needs to see: pass them as `keep`."""
    texts = "\0".join((*format.markers, *format.silent, reasoning.open, reasoning.close))
    return frozenset(
        token.id
        for token in tokenizer.special_tokens
        if len(token.text) > 2 and not token.text.isspace() and token.text in texts
    )


def _silent_ids(tokenizer: Tokenizer) -> frozenset[int]:
    control = (
        token.id for token in tokenizer.special_tokens if token.kind is not TokenKind.USER_DEFINED
    )
    return tokenizer.eog_ids.union(control)
