"""Which placeholder stands for which text: the map that never leaves the device."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from typing import NoReturn

from edge_llm.privacy.placeholders import placeholder
from edge_llm.privacy.spans import PiiKind


class Redactions:
    """Owns which placeholder stands for which text of one conversation. Never leaves the device.

    Keep one for a conversation and pass it again: the same text then gets the same placeholder.
    Shows nothing in `repr`, and cannot be pickled or copied. May be used from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._placeholders: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._kinds: dict[str, PiiKind] = {}
        self._numbers: dict[PiiKind, int] = defaultdict(int)

    def placeholder_for(self, text: str, kind: PiiKind) -> str:
        """What stands for a text: the same each time, whatever kind it was first."""
        with self._lock:
            known = self._placeholders.get(text)
            if known is None:
                self._numbers[kind] += 1
                known = placeholder(kind, self._numbers[kind])
                self._placeholders[text], self._texts[known] = known, text
                self._kinds[text] = kind
            return known

    def text_of(self, placeholder: str) -> str | None:
        """What a placeholder stands for; None when it stands for nothing."""
        return self._texts.get(placeholder)

    def known(self) -> Iterable[tuple[str, PiiKind]]:
        """Every text that has a placeholder, with its kind."""
        with self._lock:
            return list(self._kinds.items())

    def __len__(self) -> int:
        return len(self._texts)

    def __repr__(self) -> str:
        return f"Redactions({len(self)} placeholders)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("redactions stay in this process: they cannot be pickled or copied")
