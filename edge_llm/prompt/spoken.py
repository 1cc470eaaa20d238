"""Calls as a sentence that can be spoken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class NamedCall(Protocol):
    """Any record of a call."""

    @property
    def name(self) -> str:
        """The function."""
        ...

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What it is called with."""
        ...


def spoken_summary(calls: Sequence[NamedCall]) -> str:
    """A short sentence to say for calls that came without words.

    `HassTurnOn {area: kitchen, domain: light}` gives `Turn on: kitchen, light.`
    """
    return " ".join(_spoken_call(call) for call in calls)


def _spoken_call(call: NamedCall) -> str:
    words = " ".join(_words(call.name)) or "done"
    values = ", ".join(text for value in call.arguments.values() if (text := _spoken_value(value)))
    sentence = words[0].upper() + words[1:]
    return f"{sentence}: {values}." if values else f"{sentence}."


def _words(name: str) -> list[str]:
    """The words of a CamelCase, snake_case or dotted name, in lower case, without `Hass`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+", name)
    if len(words) > 1 and words[0].lower() == "hass":
        words = words[1:]
    return [word.lower() for word in words]


def _spoken_value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value.replace("_", " ").strip()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return " and ".join(text for item in value if (text := _spoken_value(item)))
    if isinstance(value, dict):
        return ", ".join(text for item in value.values() if (text := _spoken_value(item)))
    return ""
