"""How much of a prompt may go through the model in one step while other sequences speak.

A long prompt is computed fastest in large chunks, and each chunk is a silence for everyone else.
The pacer learns what a step costs and bounds that silence. Knows counts and seconds only.
"""

from __future__ import annotations

FIRST_BUDGET = 16
"""Prompt tokens in a step as long as nothing was measured."""
MIN_BUDGET = 4
"""A prompt always gets on, however slow its tokens are."""
MEMORY = 0.2
"""Weight of the newest measurement in the running mean."""


class PrefillPacer:
    """Bounds the time between two tokens of those who speak."""

    def __init__(self, max_decode_slowdown: float) -> None:
        """While a prompt arrives a token may take so many times as long as without one."""
        self._max_slowdown = max_decode_slowdown
        self._decode_s: float | None = None
        self._prefill_token_s: float | None = None

    def budget(self, num_decoding: int) -> int | None:
        """Prompt tokens for the next step; None when nobody waits for it to end."""
        if num_decoding == 0:
            return None
        if self._decode_s is None or self._prefill_token_s is None:
            return FIRST_BUDGET
        spare_s = (self._max_slowdown - 1) * self._decode_s
        return max(MIN_BUDGET, int(spare_s / self._prefill_token_s))

    def observe(self, num_decoding: int, num_prefill: int, elapsed_s: float) -> None:
        """Learn from a step that took `elapsed_s` for so many tokens of either kind."""
        if num_prefill == 0:
            self._decode_s = _mean(self._decode_s, elapsed_s)
        elif num_decoding and self._decode_s is not None:
            extra_s = max(elapsed_s - self._decode_s, 1e-6)
            self._prefill_token_s = _mean(self._prefill_token_s, extra_s / num_prefill)


def _mean(old: float | None, new: float) -> float:
    return new if old is None else old + MEMORY * (new - old)
