"""What an answer says of its own certainty, where it says anything: a feature, never a gate."""

from __future__ import annotations

import re

MAX_CHARS = 4096
"""At the end of an answer."""

_SAID = re.compile(
    r"\bconfiden(?:ce|t)\b[\"'*]{0,3}[^\w\n]{0,6}(?:is |level |score ){0,2}[:=]?\s?"
    r"(\d{1,3}(?:\.\d{1,6})?)\s?(%|/\s?100\b|/\s?10\b)?|(\d{1,3})\s?% (?:confident|sure|certain)\b",
    re.IGNORECASE,
)


def read_verbalised(text: str) -> float | None:
    """The last stated confidence as a share: `confidence: 80%`, `"confidence": 0.8`, `80 % sure`.

    None where none is stated, or a number that is no share.
    """
    found = None
    for found in _SAID.finditer(text[-MAX_CHARS:]):  # noqa: B007 — the last one counts
        pass
    if found is None:
        return None
    number, unit = float(found[1] or found[3]), found[2] or ("" if found[1] else "%")
    if unit.startswith("/"):
        number /= float(unit[1:])
    elif unit == "%" or number > 1.0:
        number /= 100.0
    return number if 0.0 <= number <= 1.0 else None
