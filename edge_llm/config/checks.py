"""What every part of the configuration refuses in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from edge_llm.errors import ConfigError, UnknownOptionError, did_you_mean


def not_one_of(name: str, choices: object, value: object) -> str:
    """The sentence that names what a `Literal` allows."""
    allowed = " or ".join(repr(choice) for choice in get_args(choices))
    return f"{name} must be {allowed}, not {value!r}"


def refuse_unknown(given: Mapping[str, Any], known: Any, what: str) -> None:
    """Name the nearest known name for the first that is unknown.

    Raises:
        UnknownOptionError: there is one.
    """
    for name in given:
        if name not in known:
            raise UnknownOptionError(f"unknown {what} {name!r}", hint=did_you_mean(name, known))


def is_number(value: object) -> bool:
    """Whether it is an int or a float; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def require_count(
    name: str, value: Any, *, least: int, most: int = 2**31 - 1, optional: bool = False
) -> None:
    """Let a whole number in a range pass.

    Raises:
        ConfigError: it is none.
    """
    if optional and value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
