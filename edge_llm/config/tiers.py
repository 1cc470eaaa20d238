"""The tiers that a request may be answered by, in order: what can be set, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from edge_llm.config.checks import not_one_of
from edge_llm.errors import ConfigError

Order: TypeAlias = Literal["listed", "price", "latency"]
"""Which of several endpoints is asked first: as listed, the cheapest, or the quickest so far."""

LOCAL_TIER = "local"
CLOUD_TIER = "cloud"


@dataclass(frozen=True, slots=True)
class TierConfig:
    """One step: a local model, or one or more endpoints elsewhere."""

    name: str
    model: str | None = None
    """A local model, as in `EdgeConfig.model`; None where the tier has endpoints."""
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Of a local model: fields of `EdgeConfig` that differ from the common ones."""
    endpoints: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """Tables of an address, a model and more, see `edge_llm.runtime.endpoints`."""
    order: Order = "listed"
    languages: tuple[str, ...] | None = None
    """Languages that the tier answers in; None takes all."""

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ConfigError(f"a tier needs a name, not {self.name!r}")
        if (self.model is None) == (not self.endpoints):
            raise ConfigError(
                f"tier {self.name!r} needs either a local model or endpoints",
                hint="model = 'builtin', or base_url = 'https://…' and the model there",
            )
        if self.order not in get_args(Order):
            raise ConfigError(not_one_of(f"order of tier {self.name!r}", Order, self.order))

    @property
    def is_local(self) -> bool:
        """Whether its model runs in this program's own engine."""
        return not self.endpoints


def cloud_tier(url: str, model: str, key_env: str | None) -> TierConfig:
    """The tier that the short options mean."""
    endpoint = {"name": CLOUD_TIER, "base_url": url, "model": model}
    if key_env is not None:
        endpoint["key_env"] = key_env
    return TierConfig(CLOUD_TIER, endpoints=(endpoint,))


def parse_tiers(value: object) -> tuple[TierConfig, ...]:
    """Tiers from `TierConfig`s and tables such as TOML's `[[tiers]]`.

    A table with `base_url` is a tier with that one endpoint; one with `endpoints` has several; any
    other is a local model, whose further keys are options of `EdgeConfig`.

    Raises:
        ConfigError: no list, a table that is no tier, or two tiers of one name.
    """
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        raise ConfigError(f"tiers must be a list of tables, not {type(value).__name__}")
    tiers = tuple(
        one if isinstance(one, TierConfig) else _parse_tier(one, number)
        for number, one in enumerate(value, 1)
    )
    names = [tier.name for tier in tiers]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two tiers are called {twice!r}")
    return tiers


def _parse_tier(table: object, number: int) -> TierConfig:
    if not isinstance(table, Mapping):
        raise ConfigError(f"tier {number} must be a table, not {type(table).__name__}")
    rest = dict(table)
    languages = rest.pop("languages", None)
    common = {
        "name": rest.pop("name", None) or _default_name(table),
        "order": rest.pop("order", "listed"),
        "languages": None if languages is None else _names(languages, "languages"),
    }
    if "base_url" in table:
        return TierConfig(**common, endpoints=({"name": common["name"], **rest},))
    if "endpoints" in table:
        endpoints = tuple(rest.pop("endpoints"))
        if rest:
            raise ConfigError(f"tier {common['name']!r} has endpoints and also {sorted(rest)}")
        return TierConfig(**common, endpoints=endpoints)
    return TierConfig(**common, model=rest.pop("model", None), options=MappingProxyType(rest))


def _names(value: object, what: str) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise ConfigError(f"{what} must be a list of texts, not {value!r}")


def _default_name(table: Mapping[str, Any]) -> str:
    return CLOUD_TIER if "base_url" in table or "endpoints" in table else LOCAL_TIER
