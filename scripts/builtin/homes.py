"""Homes that a system prompt describes: areas, floors and entities, in the formats clients use.

`HomeNames` draws what is talked about from such a home, and furnishes it as it goes.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from scripts.builtin.domain import Domain
from scripts.builtin.lexicon import DEVICE_KINDS
from scripts.builtin.words import Names

_DOMAINS = {
    "light": "light",
    "cover": "cover",
    "lock": "lock",
    "fan": "fan",
    "media": "media_player",
    "player": "media_player",
    "vacuum": "vacuum",
    "mower": "lawn_mower",
    "climate": "climate",
    "thing": "sensor",
}
_NO_ENTITIES = frozenset({"timer", "list"})
_INTRODUCTIONS = (
    "",
    "You are a voice assistant for Home Assistant.",
    "You control this home.",
    "You are Al, the assistant of this house. Be brief.",
    "Answer in plain text. Use the tools to control devices.",
    "Act only on the devices below.",
)


class Entity(NamedTuple):
    """One device of a home."""

    name: str
    domain: str
    area: str


@dataclass(slots=True)
class Home:
    """What a home has: what is said, and how the list spells it."""

    style: Callable[[str], str]
    areas: dict[str, str] = field(default_factory=dict)
    floors: dict[str, str] = field(default_factory=dict)
    entities: dict[str, Entity] = field(default_factory=dict)
    kinds: dict[str, list[str]] = field(default_factory=dict)
    """What is said of the entities of each kind."""

    @property
    def listed(self) -> dict[str, str]:
        """The spelling in the list for each name that may be said."""
        names = {said: entity.name for said, entity in self.entities.items()}
        return names | self.areas | self.floors

    def has_like(self, name: str) -> bool:
        """Whether a name here is part of `name` or the other way: what is said would fit both."""
        return any(name in other or other in name for other in self.listed)


class HomeNames(Names):
    """Draws names of one home; while `is_strange`, names the home does not have."""

    def __init__(self, rng: random.Random, domain: Domain, *, unseen: bool = False) -> None:
        super().__init__(rng, domain, unseen=unseen)
        self.home = Home(rng.choice((string.capwords, string.capwords, str, _sentence)))
        self.is_strange = False
        self.has_strayed = False
        """Whether a name was drawn that the home does not have."""

    @property
    def listed(self) -> dict[str, str]:
        """The spelling in the home's list for each name that may be said."""
        return self.home.listed

    def area(self) -> str:
        """A room of the home."""
        areas = self.home.areas
        if self.is_strange:
            return self._stray(super().area)
        if areas and self.rng.random() < 0.6:
            return self.rng.choice(list(areas))
        said = self._fresh(super().area)
        areas[said] = self.home.style(said)
        return said

    def floor(self) -> str:
        """A floor of the home."""
        said = super().floor()
        self.home.floors[said] = self.home.style(said)
        return said

    def device(self, kind: str) -> str:
        """An entity of the home of `kind`."""
        if kind in _NO_ENTITIES:
            return super().device(kind)
        if self.is_strange:
            return self._stray(lambda: super(HomeNames, self).device(kind))
        known = self.home.kinds.setdefault(kind, [])
        if known and self.rng.random() < 0.6:
            return self.rng.choice(known)
        return self._furnish(kind)

    def furnish(self, count: int) -> None:
        """Adds rooms and up to `count` entities that nobody has mentioned, and shuffles all."""
        for _ in range(self.rng.randint(1, 3)):
            said = self._fresh(super().area)
            self.home.areas[said] = self.home.style(said)
        for _ in range(count):
            self._furnish(self.rng.choice(DEVICE_KINDS))

    def _furnish(self, kind: str) -> str:
        said = self._fresh(lambda: super(HomeNames, self).device(kind))
        areas = list(self.home.areas.values())
        area = self.rng.choice(areas) if areas and self.rng.random() < 0.8 else ""
        domain = _DOMAINS.get(kind) or _guess_domain(said)
        self.home.entities[said] = Entity(self.home.style(said), domain, area)
        self.home.kinds.setdefault(kind, []).append(said)
        return said

    def _stray(self, draw: Callable[[], str]) -> str:
        self.has_strayed = True
        return self._fresh(draw)

    def _fresh(self, draw: Callable[[], str]) -> str:
        """A name that cannot be mistaken for one the home has."""
        while True:
            name = draw()
            if not self.home.has_like(name):
                return name


def describe_home(home: Home, rng: random.Random) -> str:
    """The system prompt that lists `home`, in one of several formats."""
    entities = list(home.entities.values())
    areas = list(home.areas.values())
    rng.shuffle(entities)
    rng.shuffle(areas)
    body = rng.choice((_as_overview, _as_entity_ids, _as_csv, _as_bullets, _as_lines, _as_rooms))
    parts = [rng.choice(_INTRODUCTIONS), body(entities, areas, rng)]
    if body not in (_as_rooms,) and areas:
        parts.append(f"Areas: {', '.join(areas)}")
    if home.floors:
        parts.append(f"Floors: {', '.join(home.floors.values())}")
    return "\n".join(part for part in parts if part)


def _as_overview(entities: list[Entity], _: list[str], __: random.Random) -> str:
    """As Home Assistant lists exposed entities for a language model."""
    lines = ["An overview of the areas and the devices in this smart home:"]
    for name, domain, area in entities:
        lines.append(f"- names: {name}\n  domain: {domain}")
        if area:
            lines.append(f"  areas: {area}")
    return "\n".join(lines)


def _as_entity_ids(entities: list[Entity], _: list[str], rng: random.Random) -> str:
    states = ("on", "off", "open", "closed", "unavailable")
    lines = [
        f"{domain}.{re.sub(r'[^a-z0-9]+', '_', name.lower())} '{name}' = {rng.choice(states)}"
        for name, domain, _ in entities
    ]
    return "\n".join(["Devices:", *lines])


def _as_csv(entities: list[Entity], _: list[str], __: random.Random) -> str:
    return "\n".join(["name,domain,area", *(",".join(entity) for entity in entities)])


def _as_bullets(entities: list[Entity], _: list[str], __: random.Random) -> str:
    rows = [f"- {e.name} ({e.domain}{', ' + e.area if e.area else ''})" for e in entities]
    return "\n".join(["Available devices:", *rows])


def _as_lines(entities: list[Entity], _: list[str], rng: random.Random) -> str:
    return f"Entities: {rng.choice((', ', '; ')).join(entity.name for entity in entities)}"


def _as_rooms(entities: list[Entity], areas: list[str], _: random.Random) -> str:
    lines = []
    for area in ("", *areas):
        inside = [entity.name for entity in entities if entity.area == area]
        if inside or area:
            lines.append(f"{area or 'Home'}: {', '.join(inside)}")
    return "\n".join(lines)


def _guess_domain(name: str) -> str:
    if re.search(r"lamp|light|lantern|chandelier", name):
        return "light"
    return "media_player" if re.search(r"tv|radio|speaker|stereo", name) else "switch"


def _sentence(name: str) -> str:
    return name[:1].upper() + name[1:]
