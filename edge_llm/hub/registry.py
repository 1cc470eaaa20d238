"""The catalogue of models that are known by name: `models/registry.toml`, as values.

Where a model is and how it likes to be asked; never how large it is or what it hashes to, which the
hub says when it is pulled.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from edge_llm.errors import ConfigError, ModelNotFoundError, did_you_mean
from edge_llm.hub.packaged import models_folder
from edge_llm.hub.reference import ModelReference

REGISTRY_FILE = "registry.toml"

Thinking: TypeAlias = Literal["never", "switchable", "always"]
"""Whether a model thinks before it answers, and whether its template can be asked not to."""

FACTS = ("gguf", "onnx", "licence", "gated", "chat", "tools", "thinking", "sampling")
"""What each entry says, and must give a source for, or name under `unverified`."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact was read, and when."""

    url: str
    read: date
    note: str = ""
    """How it was read, where that was not the page itself."""


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One model of a family, in all its quantisations."""

    name: str
    """What users type: `qwen3-0.6b`."""
    family: str
    summary: str
    """What it is good for, in half a line."""
    parameters: float
    """In billions, as its name says."""
    base: str
    """The repository of the original weights."""
    gguf: tuple[str, ...]
    """Repositories with GGUF files, the first one tried first."""
    onnx: tuple[str, ...]
    """Repositories with ONNX graphs, likewise; empty where none is known."""
    licence: str
    gated: bool
    """Whether the repositories above want a token and an accepted licence."""
    chat: str
    """How turns are marked: `chatml`, `gemma`, `llama3`."""
    tools: str
    """How tools are called: `hermes`, `llama3`, or `none`."""
    capabilities: tuple[str, ...]
    thinking: Thinking
    sampling: Mapping[str, float]
    """What its makers recommend; empty where they say nothing."""
    sources: Mapping[str, Source]
    """By fact."""
    unverified: tuple[str, ...]
    """Facts that no source was found for; they may be wrong."""

    def repositories(self, quant: str | None) -> tuple[str, ...]:
        """Where to look for a quantisation: ONNX where it is asked for, or there is no GGUF."""
        if quant == "onnx" or not self.gguf:
            return self.onnx
        if quant is None or quant.upper().startswith(("Q2", "Q3", "Q5", "Q6", "Q8", "IQ")):
            return self.gguf
        return self.gguf + self.onnx


@dataclass(frozen=True, slots=True)
class Registry:
    """All models of the catalogue."""

    models: Mapping[str, CatalogueModel]
    families: Mapping[str, str]
    """What to call a family, by its key."""

    def find(self, name: str) -> CatalogueModel:
        """The model of that name.

        Raises:
            ModelNotFoundError: there is none; names those that are near.
        """
        known = self.models.get(name.lower())
        if known is None:
            raise ModelNotFoundError(
                f"the catalogue has no {name!r}", hint=did_you_mean(name, self.models)
            )
        return known


@lru_cache(maxsize=1)
def load_registry(path: Path | None = None) -> Registry:
    """The catalogue that ships with the package, or the one at `path`.

    Raises:
        ConfigError: an entry is incomplete or wrong; says which.
    """
    path = path or models_folder() / REGISTRY_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError(f"the catalogue {str(path)!r} cannot be read: {exc}") from exc
    sources = {key: Source(**value) for key, value in table.get("sources", {}).items()}
    families = table.get("families", {})
    models = {
        name: _model(name, entry, families, sources)
        for name, entry in table.get("models", {}).items()
    }
    names = {key: str(family["name"]) for key, family in families.items()}
    return Registry(MappingProxyType(models), MappingProxyType(names))


def repositories(reference: ModelReference) -> tuple[str, ...]:
    """Where a reference to the hub or to the catalogue may be found, in order.

    Raises:
        ModelNotFoundError: the catalogue has no such name, or no such format of it.
    """
    if reference.kind == "hub":
        return (reference.name,)
    model = load_registry().find(reference.name)
    found = model.repositories(reference.quant)
    if not found:
        raise ModelNotFoundError(
            f"no repository with {reference.quant or 'a model'} is known for {model.name!r}",
            hint=f"see {model.base} on the hub",
        )
    return found


def sampling_of(repo: str) -> dict[str, float]:
    """What the makers of a repository's model recommend; empty where the catalogue has none."""
    for model in load_registry().models.values():
        if repo in (*model.gguf, *model.onnx, model.base):
            return dict(model.sampling)
    return {}


def _model(
    name: str,
    entry: Mapping[str, Any],
    families: Mapping[str, Mapping[str, Any]],
    sources: Mapping[str, Source],
) -> CatalogueModel:
    """One entry over the facts of its family, complete and with a source for each."""
    family = families.get(entry.get("family", ""))
    if family is None:
        raise ConfigError(f"models.{name}: unknown family {entry.get('family')!r}")
    merged = {key: value for key, value in family.items() if key != "name"} | dict(entry)
    named = family["sources"] | entry.get("sources", {})
    own = entry.get("unverified", [])
    unverified = {*own, *(fact for fact in family["unverified"] if fact not in entry)}
    # What a model says for itself is not covered by what its family's source said.
    named = {fact: key for fact, key in named.items() if fact not in own}
    unverified -= set(entry.get("sources", {}))
    known = {field.name for field in fields(CatalogueModel)} - {"name"}
    if wrong := set(merged) ^ known:
        raise ConfigError(f"models.{name}: missing or unknown: {', '.join(sorted(wrong))}")
    if merged["thinking"] not in get_args(Thinking):
        raise ConfigError(f"models.{name}: thinking is {merged['thinking']!r}")
    missing = [f for f in FACTS if _says(merged[f]) and f not in named and f not in unverified]
    unknown = set(named.values()) - set(sources)
    if missing or unknown:
        raise ConfigError(f"models.{name}: no source for {', '.join([*missing, *sorted(unknown)])}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in merged.items()
    }
    values["sampling"] = MappingProxyType(merged["sampling"])
    values["sources"] = MappingProxyType({fact: sources[key] for fact, key in named.items()})
    values["unverified"] = tuple(sorted(unverified))
    return CatalogueModel(name=name, **values)


def _says(fact: object) -> bool:
    """Whether an entry says anything of a fact: `gated = false` does, an empty list does not."""
    return isinstance(fact, bool) or bool(fact)
