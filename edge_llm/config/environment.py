"""From texts in environment variables to values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, NamedTuple

from edge_llm.config.edge import SECTIONS, ContextSize, EdgeConfig
from edge_llm.config.offline import OFFLINE_VARIABLE
from edge_llm.errors import ConfigError, UnknownOptionError, did_you_mean

ENV_PREFIX = "EDGE_LLM_"

CONFIG_VARIABLE = "EDGE_LLM_CONFIG"
"""The path of a TOML file."""

DATA_VARIABLE = "EDGE_LLM_DATA_DIR"
"""A folder for what cannot be computed again."""

OTHER_ENVIRONMENT = frozenset(
    {
        CONFIG_VARIABLE,
        DATA_VARIABLE,
        OFFLINE_VARIABLE,
        "EDGE_LLM_PEERS",
        "EDGE_LLM_PYTHON",
        "EDGE_LLM_TEST_MODEL",
    }
)
"""Variables with our prefix that name no option: they belong to loading, scripts and tests."""


class Variable(NamedTuple):
    """What one environment variable sets."""

    section: str | None
    """A name of `SECTIONS`; None for `EdgeConfig` itself."""
    field: str
    kind: str
    """The field's type, as it is written there."""


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """The options that the environment sets, by the names of `EdgeConfig`; empty counts as unset.

    Options of a section are in a dict of their own.

    Raises:
        UnknownOptionError: a variable with our prefix that nobody knows.
        ConfigError: a text that is no such value.
    """
    known = known_variables()
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or name in OTHER_ENVIRONMENT:
            continue
        if name not in known:
            raise UnknownOptionError(
                f"unknown environment variable {name!r}", hint=did_you_mean(name, known)
            )
        if text:
            variable = known[name]
            place = values.setdefault(variable.section, {}) if variable.section else values
            place[variable.field] = parse_variable(name, variable, text)
    return values


def known_variables() -> dict[str, Variable]:
    """Every variable that sets an option, by its name."""
    known = {
        ENV_PREFIX + field.name.upper(): Variable(None, field.name, str(field.type))
        for field in fields(EdgeConfig)
        if field.name not in SECTIONS
    }
    for section, config in SECTIONS.items():
        for field in fields(config):
            name = f"{ENV_PREFIX}{section}_{field.name}".upper()
            known[name] = Variable(section, field.name, str(field.type))
    return known


def parse_variable(name: str, variable: Variable, text: str) -> Any:
    """What the text of a variable means.

    Raises:
        ConfigError: it is no such value.
    """
    parse, what = _PARSERS.get(variable.kind.removesuffix(" | None"), (str, "text"))
    try:
        return parse(text)
    except ValueError as exc:
        raise ConfigError(f"{name} must be {what}, not {text!r}") from exc


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


def _texts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())


def _tables(text: str) -> tuple[Any, ...]:
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError(text)
    return tuple(value)


_PARSERS: Mapping[str, tuple[Callable[[str], Any], str]] = MappingProxyType(
    {
        "int": (int, "a whole number"),
        "float": (float, "a number"),
        "bool": (_parse_flag, "1 or 0, true or false, yes or no, on or off"),
        "dict[str, str]": (_provider_options, "name=value, separated by commas"),
        "tuple[str, ...]": (_texts, "texts, separated by semicolons"),
        "tuple[Mapping[str, str], ...]": (_tables, "a JSON list of objects"),
        "tuple[Mapping[str, Any], ...]": (_tables, "a JSON list of objects"),
        "tuple[TierConfig, ...]": (_tables, "a JSON list of objects"),
        "ContextSize": (_context_size, "a whole number or 'auto'"),
    }
)
