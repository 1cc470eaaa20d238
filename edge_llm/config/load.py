"""The configuration put together from everywhere it may come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from edge_llm.config.checks import refuse_unknown
from edge_llm.config.edge import SECTIONS, EdgeConfig
from edge_llm.config.environment import read_environment
from edge_llm.config.file import find_config_file, read_config_file
from edge_llm.errors import ConfigError


def load_config(
    options: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> EdgeConfig:
    """The configuration from defaults, a TOML file, the environment, and `options` that are not
    None; later ones go over earlier ones, in a section option by option.

    The file is the option `config_file`, `EDGE_LLM_CONFIG`, or `edge-llm/config.toml` in the user's
    folder for configuration if there is one.

    Raises:
        UnknownOptionError: a name that is no field of `EdgeConfig`.
        ConfigError: a value outside its range, or a file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    given = {k: v for k, v in (options or {}).items() if v is not None}
    file = find_config_file(given.pop("config_file", None), environ)
    values: dict[str, Any] = {}
    if file is not None:
        _put_over(values, read_config_file(file), f"option in {str(file)!r}")
    _put_over(values, read_environment(environ), "variable")
    _put_over(values, given, "option")
    for name in SECTIONS.keys() & values.keys():
        values[name] = _section(name, values[name])
    return replace(EdgeConfig(), **values)


def _put_over(values: dict[str, Any], given: Mapping[str, Any], what: str) -> None:
    refuse_unknown(given, [f.name for f in fields(EdgeConfig)], what)
    for name, value in given.items():
        below = values.get(name)
        if name in SECTIONS and isinstance(value, Mapping):
            refuse_unknown(value, [f.name for f in fields(SECTIONS[name])], f"{what} of {name}")
            value = {**(below or {}), **value}
        values[name] = value


def _section(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    known = {field.name: str(field.type) for field in fields(SECTIONS[name])}
    try:
        return SECTIONS[name](
            **{
                key: tuple(v) if isinstance(v, list) and known[key].startswith("tuple") else v
                for key, v in value.items()
            }
        )
    except ConfigError:
        raise
    except TypeError as exc:
        raise ConfigError(f"[{name}] cannot be used: {exc}") from exc
