"""Whether a text has begun to go round in circles."""

from __future__ import annotations

MIN_REPEATS = 4
MIN_LOOP_CHARS = 60
MAX_PERIOD_CHARS = 200


def is_looping(text: str) -> bool:
    """Whether the text ends in the same words again and again, rules of dashes not counted."""
    for period in range(1, min(MAX_PERIOD_CHARS, len(text) // MIN_REPEATS) + 1):
        repeats = max(MIN_REPEATS, -(-MIN_LOOP_CHARS // period))
        unit = text[-period:]
        if text.endswith(unit * repeats) and any(char.isalnum() for char in unit):
            return True
    return False
