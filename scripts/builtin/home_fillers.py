"""What stands in the slots that only patterns of a home have, and all fillers by name."""

from __future__ import annotations

from scripts.builtin.fillers import GENERAL_FILLERS, Fill, Filler
from scripts.builtin.intents import SlotValue
from scripts.builtin.numerals import say_percent
from scripts.builtin.words import Names

LIGHT_NOUNS = ("lights", "lights", "lights", "light", "lamps", "lighting")
FAN_NOUNS = ("fan", "fan", "fans")
GROUPS: dict[str, dict[str, SlotValue]] = {
    "fans": {"domain": "fan"},
    "fan": {"domain": "fan"},
    "switches": {"domain": "switch"},
    "plugs": {"domain": "switch"},
    "speakers": {"domain": "media_player"},
}
COVERS: dict[str, str] = {
    "blinds": "blind",
    "curtains": "curtain",
    "drapes": "curtain",
    "shutters": "shutter",
    "shades": "shade",
    "windows": "window",
    "garage doors": "garage",
    "gates": "gate",
    "awnings": "awning",
}
STATES: dict[str, tuple[str, ...]] = {
    "on": ("on", "on", "off"),
    "open": ("open", "open", "closed"),
    "closed": ("closed", "opened"),
    "locked": ("locked", "locked", "unlocked"),
    "running": ("running", "on", "off", "idle", "charging"),
}
_STATE_VALUES = {"opened": "open"}


def _class(names: Names, group: str) -> Fill:
    """A noun for all devices of one kind, with its `domain` and `device_class`."""
    if group == "light":
        return Fill(names.rng.choice(LIGHT_NOUNS), values={"domain": "light"})
    if group == "lock":
        return Fill(names.rng.choice(("locks", "doors")), values={"domain": "lock"})
    if group in ("cover", "blind"):
        # An open window is asked of its sensor, so questions name every cover but windows.
        nouns = [noun for noun in COVERS if group == "cover" or noun != "windows"]
        noun = names.rng.choice(nouns)
        return Fill(noun, values={"domain": "cover", "device_class": COVERS[noun]})
    noun = names.rng.choice(list(GROUPS))
    return Fill(noun, values=dict(GROUPS[noun]))


def _noun(names: Names, group: str) -> Fill:
    """A noun the intent itself implies, so that it gives no slot."""
    return Fill(names.rng.choice(LIGHT_NOUNS if group == "light" else FAN_NOUNS))


def _name(names: Names, kind: str) -> Fill:
    if kind == "person":
        return Fill(names.person(), copied="name")
    if kind == "place":
        return Fill(names.free_text(names.lexicon["places"]), copied="name")
    return Fill(names.device(kind), copied="name")


def _step(names: Names, sign: str) -> Fill:
    number = names.rng.randint(1, 50)
    return Fill(
        say_percent(names.rng, number), values={"volume_step": number if sign == "+" else -number}
    )


def _kelvin(names: Names, _: str) -> Fill:
    value = 100 * names.rng.randint(15, 80)
    unit = names.rng.choice((" kelvin", " kelvin", "k", " k"))
    return Fill(f"{value}{unit}", values={"temperature": value})


def _item(names: Names, kind: str) -> Fill:
    known = names.lexicon["groceries" if kind == "grocery" else "chores"]
    return Fill(names.free_text(known), copied="item")


def _state(names: Names, group: str) -> Fill:
    state = names.rng.choice(STATES[group])
    return Fill(state, values={"state": _STATE_VALUES.get(state, state)})


def _media_class(names: Names, _: str) -> Fill:
    media_class = names.rng.choice(names.lexicon["media_classes"])
    return Fill(media_class, values={"media_class": media_class})


FILLERS: dict[str, Filler] = GENERAL_FILLERS | {
    "area": lambda names, _: Fill(names.area(), copied="area"),
    "floor": lambda names, _: Fill(names.floor(), copied="floor"),
    "name": _name,
    "class": _class,
    "noun": _noun,
    "step": _step,
    "kelvin": _kelvin,
    "item": _item,
    "query": lambda names, _: Fill(names.free_text(names.lexicon["media"]), copied="search_query"),
    "media_class": _media_class,
    "state": _state,
}
