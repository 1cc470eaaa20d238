"""Where one answer stands in its grammar: what may come next, and what must. Not thread-safe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_llm.constrain.library import ask, check, grammar_error, translated
from edge_llm.constrain.mask import TokenMask


class Matcher:
    """Follows the tokens of one answer."""

    def __init__(self, matcher: Any, vocab_size: int) -> None:
        """`vocab_size` is the library's; see `library.create_matcher`."""
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._words = np.zeros(-(-vocab_size // 32), np.uint32)
        self._address: int = self._words.ctypes.data

    def copy(self) -> Matcher:
        """Another answer at the same place in the same grammar."""
        with translated():
            return Matcher(self._matcher.deep_copy(), self._vocab_size)

    def warm_up(self) -> None:
        """Compute the first masks, which are the slowest, and stand where it stood before.

        Raises:
            GrammarError: no text fits.
            GrammarTooLargeError: it begins with more possibilities than can be followed.
        """
        self.allowed()
        forced = self.forced()
        self.accept(*forced)
        if not self.is_complete:
            self.allowed()
        with translated():
            self._matcher.rollback(len(forced))
        check(self._matcher)

    def accept(self, *token_ids: int) -> bool:
        """Go on by these tokens; False, before the first that the grammar forbids.

        Raises:
            GrammarError: the grammar cannot be followed any further.
        """
        if ask(self._matcher.try_consume_tokens, list(token_ids)) == len(token_ids):
            return True
        check(self._matcher)
        return False

    def would_accept(self, token_ids: Sequence[int]) -> bool:
        """Whether all these tokens may come next, one after the other."""
        num_valid: int = ask(self._matcher.validate_tokens, list(token_ids))
        return num_valid == len(token_ids)

    def forced(self) -> Sequence[int]:
        """Tokens that must come next, as the tokenizer would spell them; they are to be accepted.

        Bytes at their end that the tokenizer could join with what follows are left out.

        Raises:
            GrammarError: the grammar cannot be followed any further.
        """
        token_ids: list[int] = ask(self._matcher.compute_ff_tokens)
        check(self._matcher)
        return token_ids

    def allowed(self) -> TokenMask:
        """Tokens that may come next, those that end the answer among them; valid until `accept`.

        Raises:
            GrammarError: the grammar cannot be followed any further.
        """
        ask(self._matcher.unsafe_compute_mask_ptr, self._address, self._words.nbytes)
        if self._matcher.is_error():
            raise grammar_error(self._matcher.get_error())
        return TokenMask(self._words, self._vocab_size)

    @property
    def fits(self) -> bool:
        """Whether the answer may end here."""
        return not self._matcher.is_error() and bool(self._matcher.is_accepting())

    @property
    def is_complete(self) -> bool:
        """Whether the answer fits and nothing can follow."""
        return bool(self._matcher.is_stopped()) and self.fits
