"""From a table of the configuration to an endpoint; an unknown key is an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from edge_llm.cloud.types import Endpoint, EndpointCapabilities, KeySource, Prices, Timeouts
from edge_llm.config.checks import refuse_unknown
from edge_llm.errors import ConfigError

T = TypeVar("T")

_KEY_OPTIONS = {"key_env": "env", "key_file": "file", "key_header": "header"}
"""Flat names for the parts of `KeySource`, beside `key = {env = …}`."""

_PARTS: Mapping[str, type[Any]] = {
    "key": KeySource,
    "prices": Prices,
    "timeouts": Timeouts,
}


def create_endpoint(table: Mapping[str, Any]) -> Endpoint:
    """The endpoint that a table such as TOML's `[[tiers.endpoints]]` means.

    `capabilities` is a list of names; `key_env` and `key_file` say where the key is.

    Raises:
        UnknownOptionError: a key that no endpoint has.
        ConfigError: a value that cannot be meant.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"an endpoint must be a table, not {type(table).__name__}")
    rest = dict(table)
    key = {part: rest.pop(name) for name, part in _KEY_OPTIONS.items() if name in rest}
    if key:
        if "key" in rest:
            raise ConfigError("an endpoint has either 'key' or 'key_env' and 'key_file'")
        rest["key"] = key
    names = [field.name for field in fields(Endpoint)]
    refuse_unknown(rest, [*names, *_KEY_OPTIONS], "option of an endpoint")
    for name, kind in _PARTS.items():
        if rest.get(name) is not None:
            rest[name] = _part(name, kind, rest[name])
    if "capabilities" in rest:
        rest["capabilities"] = _capabilities(rest["capabilities"])
    if isinstance(rest.get("omit"), list):
        rest["omit"] = tuple(rest["omit"])
    rest.setdefault("name", rest.get("base_url", ""))
    return _create(Endpoint, rest, "an endpoint")


def _part(name: str, kind: type[T], value: object) -> T:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} of an endpoint must be a table, not {type(value).__name__}")
    refuse_unknown(value, [f.name for f in fields(kind)], f"key in {name}")  # type: ignore[arg-type]
    return _create(kind, value, f"{name} of an endpoint")


def _capabilities(value: object) -> EndpointCapabilities:
    known = [field.name for field in fields(EndpointCapabilities)]
    if isinstance(value, Mapping):
        refuse_unknown(value, known, "capability")
        return EndpointCapabilities(**value)
    if not isinstance(value, list | tuple):
        raise ConfigError(f"capabilities must be a list of names, not {value!r}")
    refuse_unknown({str(name): None for name in value}, known, "capability")
    return EndpointCapabilities(**{name: name in value for name in known})


def _create(kind: type[T], values: Mapping[str, Any], what: str) -> T:
    try:
        return kind(**values)
    except TypeError as exc:  # a value is missing; its name is in the text
        raise ConfigError(f"{what} is not complete: {exc}") from exc
