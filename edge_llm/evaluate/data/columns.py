"""What a column may hold, and other names for it: `--column prompt=question`."""

from __future__ import annotations

import copy
import difflib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from edge_llm.errors import ConfigError
from edge_llm.evaluate.data.lines import Row

JSON_COLUMNS = (
    "messages", "tools", "json", "tool_calls", "choices", "options", "features", "looks",
    "response_format",
)  # fmt: skip
"""In a CSV file their cells are JSON."""


def parse_mapping(pairs: Sequence[str]) -> dict[str, str]:
    """`{"prompt": "question"}` from `["prompt=question"]`: our name, the file's name.

    Raises:
        ConfigError: something else.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        ours, sign, theirs = pair.partition("=")
        if not (ours and sign and theirs):
            raise ConfigError(
                f"--column must be OURS=THEIRS, not {pair!r}", hint="--column prompt=question"
            )
        if ours in mapping:
            raise ConfigError(f"--column names {ours!r} twice")
        mapping[ours] = theirs
    return mapping


def rename(row: Row, mapping: Mapping[str, str]) -> Row:
    """The row under our names.

    Raises:
        ValueError: a column that the mapping names is not there.
    """
    renamed = copy.copy(row)
    for theirs in mapping.values():
        if theirs not in row:
            raise ValueError(f"there is no column {theirs!r}")
    for theirs in mapping.values():
        renamed.pop(theirs, None)
    renamed.update({ours: row[theirs] for ours, theirs in mapping.items()})
    return renamed


def from_cell(name: str, value: str) -> Any:
    """The value of a cell of a table: parsed where the column holds JSON.

    Raises:
        ValueError: a cell that must be JSON and is not.
    """
    if name not in JSON_COLUMNS:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        if name in ("json", "choices"):
            return value  # a text is a value too, and a list may be written with bars
        raise ValueError(f"JSON is expected, not {value[:60]!r}") from None


def to_number(value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number within bounds, from a number or its spelling.

    Raises:
        ValueError: something else.
    """
    expected = "a number"
    if math.isfinite(least):
        expected += (
            f" from {least:g} to {most:g}" if math.isfinite(most) else f", {least:g} or more"
        )
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and least <= number <= most):
        raise ValueError(f"{expected} is expected, not {value!r}")
    return number


def to_weight(value: Any) -> float:
    """How many requests a row stands for: a number above 0.

    Raises:
        ValueError: something else.
    """
    number = to_number(value, 0.0)
    if number == 0.0:
        raise ValueError("a number above 0 is expected; leave a row out that counts for nothing")
    return number


def to_grade(value: Any) -> float:
    """Whether, or how far, an answer was right: true, false, or a number in [0, 1].

    Raises:
        ValueError: something else.
    """
    words = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    try:
        return to_number(value, 0.0, 1.0)
    except ValueError:
        raise ValueError(
            f"true, false or a number from 0 to 1 is expected, not {value!r}"
        ) from None


def to_text(value: Any) -> str:
    """A text that is not empty.

    Raises:
        ValueError: something else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"a text is expected, not {value!r}")
    return value


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known column that a name is nearly; None where it is none of them."""
    if name in known:
        return None
    found = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    return found[0] if found else None
