"""Every setting with what holds and who said so, for people who look for a reason."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from edge_llm.config.edge import SECTIONS, EdgeConfig
from edge_llm.config.environment import (
    ENV_PREFIX,
    OTHER_ENVIRONMENT,
    Variable,
    known_variables,
    parse_variable,
)
from edge_llm.config.file import find_config_file, read_config_file
from edge_llm.config.load import make_section
from edge_llm.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True)
class Setting:
    """One option: what holds, and who said so."""

    name: str
    """As in Python; `privacy.label` for an option of a table."""
    value: Any
    source: str
    """`default`, the path of the file, or the environment variable."""
    problem: str | None = None
    """Why what was said does not count, for people."""


@dataclass(slots=True)
class Explained:
    """The configuration as far as it is right, and where each part of it is from."""

    config: EdgeConfig = field(default_factory=EdgeConfig)
    settings: list[Setting] = field(default_factory=list)


def explain_config(environ: Mapping[str, str] | None = None) -> Explained:
    """What holds here; what is wrong with a setting is said beside it, never raised."""
    environ = os.environ if environ is None else environ
    found = Explained()
    file, said = _read_file(environ, found)
    for name, variable in known_variables().items():
        if environ.get(name):
            _apply(
                found, variable, lambda v=variable, n=name: parse_variable(n, v, environ[n]), name
            )
            continue
        table = said.get(variable.section, {}) if variable.section else said
        if isinstance(table, Mapping) and variable.field in table:
            _apply(found, variable, lambda t=table, v=variable: t[v.field], file)
        else:
            found.settings.append(Setting(_name(variable), _value(found, variable), "default"))
    found.settings += _unknown(environ, said, file)
    return found


def _read_file(environ: Mapping[str, str], found: Explained) -> tuple[str, dict[str, Any]]:
    """The path of the file and what stands in it; both empty where there is none."""
    path = None
    try:
        path = find_config_file(None, environ)
        return ("", {}) if path is None else (str(path), read_config_file(path))
    except ConfigError as exc:
        source = str(path or "EDGE_LLM_CONFIG")
        found.settings.append(Setting("config_file", None, source, str(exc)))
        return "", {}


def _apply(found: Explained, variable: Variable, read: Any, source: str) -> None:
    # Over what is right so far: some settings make sense only beside others.
    try:
        found.config = _put(found.config, variable, read())
    except ConfigError as exc:
        problem = str(exc)
        found.settings.append(Setting(_name(variable), _value(found, variable), source, problem))
    else:
        found.settings.append(Setting(_name(variable), _value(found, variable), source))


def _put(config: EdgeConfig, variable: Variable, value: Any) -> EdgeConfig:
    if variable.section is None:
        return replace(config, **{variable.field: value})
    table = getattr(config, variable.section)
    values = {f.name: getattr(table, f.name) for f in fields(table)} | {variable.field: value}
    return replace(config, **{variable.section: make_section(variable.section, values)})


def _value(found: Explained, variable: Variable) -> Any:
    table = getattr(found.config, variable.section) if variable.section else found.config
    return getattr(table, variable.field)


def _name(variable: Variable) -> str:
    return f"{variable.section}.{variable.field}" if variable.section else variable.field


def _unknown(environ: Mapping[str, str], said: Mapping[str, Any], file: str) -> Iterator[Setting]:
    variables = known_variables().keys() | OTHER_ENVIRONMENT
    for name in sorted(environ):
        if name.startswith(ENV_PREFIX) and name not in variables:
            yield Setting(name, None, name, f"nobody knows it; {did_you_mean(name, variables)}")
    options = {f.name for f in fields(EdgeConfig)}
    for name, value in said.items():
        if name not in options:
            yield Setting(name, None, file, f"nobody knows it; {did_you_mean(name, options)}")
        elif name in SECTIONS and isinstance(value, Mapping):
            inner = {f.name for f in fields(SECTIONS[name])}
            for key in value.keys() - inner:
                problem = f"nobody knows it; {did_you_mean(key, inner)}"
                yield Setting(f"{name}.{key}", None, file, problem)
