"""What stands in the slots of a pattern: spoken text and the slot values it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scripts.builtin import words
from scripts.builtin.intents import SlotValue
from scripts.builtin.numerals import pick_percent, say_duration, say_length, say_number, say_percent
from scripts.builtin.words import Names


@dataclass(frozen=True, slots=True)
class Fill:
    """Text for one slot; `copied` names the slot that repeats this text as typed."""

    text: str
    copied: str = ""
    values: dict[str, SlotValue] = field(default_factory=dict)


Filler = Callable[[Names, str], Fill]

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
        return Fill(names.free_text(words.PLACES), copied="name")
    return Fill(names.device(kind), copied="name")


def _percent(names: Names, slot: str) -> Fill:
    number = pick_percent(names.rng)
    return Fill(say_percent(names.rng, number), values={slot: number})


def _number(names: Names, slot: str) -> Fill:
    number = pick_percent(names.rng)
    return Fill(say_number(names.rng, number), values={slot: number})


def _step(names: Names, sign: str) -> Fill:
    number = names.rng.randint(1, 50)
    return Fill(
        say_percent(names.rng, number), values={"volume_step": number if sign == "+" else -number}
    )


def _degrees(names: Names, _: str) -> Fill:
    rng = names.rng
    whole = rng.randint(10, 32) if rng.random() < 0.75 else rng.randint(50, 85)
    unit = rng.choice((" degrees", " degrees", " degrees", "", "°", " degrees celsius"))
    if rng.random() < 0.15:
        text, value = rng.choice(
            (
                (f"{whole}.5", whole + 0.5),
                (f"{say_number(rng, whole)} and a half", whole + 0.5),
                (f"{whole} point five", whole + 0.5),
            )
        )
        return Fill(text + unit, values={"temperature": value})
    text = str(whole) if unit == "°" else say_number(rng, whole)
    return Fill(text + unit, values={"temperature": whole})


def _kelvin(names: Names, _: str) -> Fill:
    value = 100 * names.rng.randint(15, 80)
    unit = names.rng.choice((" kelvin", " kelvin", "k", " k"))
    return Fill(f"{value}{unit}", values={"temperature": value})


def _color(names: Names, _: str) -> Fill:
    color = names.rng.choice(words.COLORS)
    return Fill(color, values={"color": color})


def _duration(names: Names, prefix: str) -> Fill:
    duration = say_duration(names.rng)
    return Fill(duration.text, values={f"{prefix}{unit}": n for unit, n in duration.parts.items()})


def _length(names: Names, prefix: str) -> Fill:
    length = say_length(names.rng)
    return Fill(length.text, values={f"{prefix}{unit}": n for unit, n in length.parts.items()})


def _item(names: Names, kind: str) -> Fill:
    known = words.GROCERIES if kind == "grocery" else words.CHORES
    return Fill(names.free_text(known), copied="item")


def _state(names: Names, group: str) -> Fill:
    state = names.rng.choice(STATES[group])
    return Fill(state, values={"state": _STATE_VALUES.get(state, state)})


def _media_class(names: Names, _: str) -> Fill:
    media_class = names.rng.choice(words.MEDIA_CLASSES)
    return Fill(media_class, values={"media_class": media_class})


def _put(names: Names, setting: str) -> Fill:
    """A value the pattern itself implies; adds no text."""
    slot, value = setting.split("=")
    return Fill("", values={slot: int(value) if value.isdigit() else value})


def _word(names: Names, setting: str) -> Fill:
    """A fixed word of the pattern that is copied, as in `word:name=shopping`."""
    slot, text = setting.split("=")
    return Fill(text, copied=slot)


FILLERS: dict[str, Filler] = {
    "area": lambda names, _: Fill(names.area(), copied="area"),
    "floor": lambda names, _: Fill(names.floor(), copied="floor"),
    "name": _name,
    "class": _class,
    "noun": _noun,
    "percent": _percent,
    "number": _number,
    "step": _step,
    "degrees": _degrees,
    "kelvin": _kelvin,
    "color": _color,
    "duration": _duration,
    "length": _length,
    "item": _item,
    "text": lambda names, slot: Fill(names.free_text(words.MESSAGES), copied=slot),
    "query": lambda names, _: Fill(names.free_text(words.MEDIA), copied="search_query"),
    "media_class": _media_class,
    "state": _state,
    "put": _put,
    "word": _word,
}
