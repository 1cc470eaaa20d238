"""Where a draft is looked at: the names that features, calibrations and thresholds agree on."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

Checkpoint: TypeAlias = str
"""One of `CHECKPOINTS`."""

PROMPT = "prompt"
"""Before anything is generated: only what the request itself tells."""
FIRST = "first"
"""After the first token of the answer."""
END = "end"
"""The answer is whole."""
SECOND_LOOK = "second_look"
"""The answer is whole, was doubtful, and was looked at once more."""

TOKEN_CHECKPOINTS: Mapping[Checkpoint, int] = MappingProxyType(
    {FIRST: 1, "8": 8, "16": 16, "32": 32, "64": 64, "128": 128, "256": 256, "512": 512}
)
"""After how many tokens of the answer, thoughts and the white space before it not counted."""

CHECKPOINTS: tuple[Checkpoint, ...] = (PROMPT, *TOKEN_CHECKPOINTS, END, SECOND_LOOK)
"""All of them, in the order in which a draft passes them."""


def passed(before: int, now: int) -> Checkpoint | None:
    """The last checkpoint in the step from `before` to `now` tokens; None where there is none."""
    found = [name for name, count in TOKEN_CHECKPOINTS.items() if before < count <= now]
    return found[-1] if found else None
