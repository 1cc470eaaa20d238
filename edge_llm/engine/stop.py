"""Ending an answer at a stop string, without ever showing a part of it."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Text in as it is generated, text out that can no longer belong to a stop string."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.found: str | None = None
        """The stop string that ended the answer."""

    @property
    def is_empty(self) -> bool:
        """Whether no text can end the answer."""
        return not self._stop

    def add(self, text: str) -> str:
        """The text that may be shown now; nothing more once `found` is set."""
        if self.found is not None:
            return ""
        if not self._stop:
            return text
        text = self._held + text
        begin = self._find(text)
        if begin is None:
            begin = len(text) - self._num_held(text)
            self._held = text[begin:]
        return text[:begin]

    def flush(self) -> str:
        """What was held back, once it is known that nothing follows."""
        held, self._held = self._held, ""
        return "" if self.found is not None else held

    def _find(self, text: str) -> int | None:
        # The first to be complete wins, so that the pieces the text came in make no difference.
        hits = [(begin + len(s), begin, s) for s in self._stop if (begin := text.find(s)) >= 0]
        if not hits:
            return None
        _, begin, self.found = min(hits)
        self._held = ""
        return begin

    def _num_held(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        return max(
            (
                size
                for s in self._stop
                for size in range(1, min(len(s), len(text) + 1))
                if text.endswith(s[:size])
            ),
            default=0,
        )
