"""What stands in the slots of any pattern: spoken text and the slot values it gives.

`grammar.py` describes them for those who write patterns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scripts.builtin.intents import SlotValue
from scripts.builtin.numerals import (
    pick_count,
    pick_percent,
    say_duration,
    say_length,
    say_number,
    say_percent,
)
from scripts.builtin.words import Names


@dataclass(frozen=True, slots=True)
class Fill:
    """Text for one slot; `copied` names the slot that repeats this text as typed."""

    text: str
    copied: str = ""
    values: dict[str, SlotValue] = field(default_factory=dict)


Filler = Callable[[Names, str], Fill]


def _from(names: Names, setting: str) -> Fill:
    """A name from a list or an invented one, which the call repeats."""
    slot, words = setting.split("=")
    return Fill(names.entry(words), copied=slot)


def _of(names: Names, setting: str) -> Fill:
    """One of a closed list; an entry `big = large` is said as `big` and means `large`."""
    slot, words = setting.split("=")
    said, _, meant = names.rng.choice(names.lexicon[words]).partition(" = ")
    return Fill(said, values={slot: meant or said})


def _percent(names: Names, slot: str) -> Fill:
    number = pick_percent(names.rng)
    return Fill(say_percent(names.rng, number), values={slot: number})


def _number(names: Names, slot: str) -> Fill:
    number = pick_percent(names.rng)
    return Fill(say_number(names.rng, number), values={slot: number})


def _count(names: Names, setting: str) -> Fill:
    """A whole number, small if nothing else is said: `table=1..40` gives its bounds."""
    slot, _, bounds = setting.partition("=")
    low, _, high = bounds.partition("..")
    rng = names.rng
    number = rng.randint(int(low), int(high)) if bounds else pick_count(rng)
    return Fill(say_number(rng, number), values={slot: number})


def _degrees(names: Names, slot: str) -> Fill:
    slot = slot or "temperature"
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
        return Fill(text + unit, values={slot: value})
    text = str(whole) if unit == "°" else say_number(rng, whole)
    return Fill(text + unit, values={slot: whole})


def _duration(names: Names, prefix: str) -> Fill:
    duration = say_duration(names.rng)
    return Fill(duration.text, values={f"{prefix}{unit}": n for unit, n in duration.parts.items()})


def _length(names: Names, prefix: str) -> Fill:
    length = say_length(names.rng)
    return Fill(length.text, values={f"{prefix}{unit}": n for unit, n in length.parts.items()})


def _color(names: Names, slot: str) -> Fill:
    return _of(names, f"{slot or 'color'}=colors")


def _put(names: Names, setting: str) -> Fill:
    """A value the pattern itself implies; adds no text."""
    slot, value = setting.split("=")
    return Fill("", values={slot: int(value) if value.isdigit() else value})


def _word(names: Names, setting: str) -> Fill:
    """A fixed word of the pattern that is copied, as in `word:name=shopping`."""
    slot, text = setting.split("=")
    return Fill(text, copied=slot)


GENERAL_FILLERS: dict[str, Filler] = {
    "from": _from,
    "of": _of,
    "percent": _percent,
    "number": _number,
    "count": _count,
    "degrees": _degrees,
    "duration": _duration,
    "length": _length,
    "color": _color,
    "text": lambda names, slot: Fill(names.free_text(names.lexicon["messages"]), copied=slot),
    "put": _put,
    "word": _word,
}
