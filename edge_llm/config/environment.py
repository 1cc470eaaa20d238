"""From texts in environment variables to values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from edge_llm.config.edge import ContextSize, EdgeConfig
from edge_llm.errors import ConfigError, UnknownOptionError, did_you_mean

ENV_PREFIX = "EDGE_LLM_"

OTHER_ENVIRONMENT = frozenset({"EDGE_LLM_PEERS", "EDGE_LLM_PYTHON", "EDGE_LLM_TEST_MODEL"})
"""Variables with our prefix that belong to the scripts and tests, not to the runtime."""


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The options that the environment sets, by the names of `EdgeConfig`; empty counts as unset.

    Raises:
        UnknownOptionError: a variable with our prefix that nobody knows.
        ConfigError: a text that is no such value.
    """
    names = {ENV_PREFIX + f.name.upper(): f.name for f in fields(EdgeConfig)}
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in OTHER_ENVIRONMENT:
            continue
        if variable not in names:
            raise UnknownOptionError(
                f"unknown environment variable {variable!r}", hint=did_you_mean(variable, names)
            )
        if text:
            values[names[variable]] = _parse(variable, names[variable], text)
    return values


def _parse(variable: str, name: str, text: str) -> Any:
    kind = next(str(field.type) for field in fields(EdgeConfig) if field.name == name)
    parse, what = _PARSERS.get(kind.removesuffix(" | None"), (str, "text"))
    try:
        return parse(text)
    except ValueError as exc:
        raise ConfigError(f"{variable} must be {what}, not {text!r}") from exc


def _parse_flag(text: str) -> bool:
    value = text.strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _context_size(text: str) -> ContextSize:
    return "auto" if text == "auto" else int(text)


def _provider_options(text: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in text.split(",")]
    if not all(name and sign for name, sign, _ in pairs):
        raise ValueError(text)
    return {name.strip(): value.strip() for name, _, value in pairs}


_PARSERS: Mapping[str, tuple[Callable[[str], Any], str]] = MappingProxyType(
    {
        "int": (int, "a whole number"),
        "float": (float, "a number"),
        "bool": (_parse_flag, "1 or 0, true or false, yes or no, on or off"),
        "dict[str, str]": (_provider_options, "name=value, separated by commas"),
        "ContextSize": (_context_size, "a whole number or 'auto'"),
    }
)
