"""The calls the built-in model may make: 41 intents, their slots and the type of each slot.

Source: OHF-Voice/intents intents.yaml, CC-BY-4.0 (intent and slot names).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, TypeAlias

SlotValue: TypeAlias = str | int | float


class SlotType(Enum):
    """What a slot may hold."""

    TEXT = "text copied from the user"
    WORD = "one of a closed set of lower-case words"
    PERCENT = "integer from 0 to 100"
    COUNT = "integer above zero"
    DEGREES = "integer or float"
    KELVIN = "integer from 1000 to 10000"
    STEP = "'up', 'down' or integer from -100 to 100"


class ToolCall(NamedTuple):
    """One call of an intent; `arguments` maps slot names to values."""

    name: str
    arguments: dict[str, SlotValue]


SLOT_TYPES: dict[str, SlotType] = {
    "name": SlotType.TEXT,
    "area": SlotType.TEXT,
    "floor": SlotType.TEXT,
    "domain": SlotType.WORD,
    "device_class": SlotType.WORD,
    "state": SlotType.WORD,
    "response": SlotType.TEXT,
    "message": SlotType.TEXT,
    "position": SlotType.PERCENT,
    "brightness": SlotType.PERCENT,
    "color": SlotType.WORD,
    "temperature": SlotType.DEGREES,
    "item": SlotType.TEXT,
    "volume_level": SlotType.PERCENT,
    "volume_step": SlotType.STEP,
    "search_query": SlotType.TEXT,
    "media_class": SlotType.WORD,
    "hours": SlotType.COUNT,
    "minutes": SlotType.COUNT,
    "seconds": SlotType.COUNT,
    "start_hours": SlotType.COUNT,
    "start_minutes": SlotType.COUNT,
    "start_seconds": SlotType.COUNT,
    "conversation_command": SlotType.TEXT,
    "percentage": SlotType.PERCENT,
}

_PLACE = ("name", "area", "floor")
_TARGET = (*_PLACE, "domain", "device_class")
_TIME = ("hours", "minutes", "seconds")
_STARTED = ("start_hours", "start_minutes", "start_seconds", "name", "area")

INTENT_SLOTS: dict[str, tuple[str, ...]] = {
    "HassTurnOn": _TARGET,
    "HassTurnOff": _TARGET,
    "HassGetState": (*_TARGET, "state"),
    "HassNevermind": (),
    "HassRespond": ("response",),
    "HassBroadcast": ("message",),
    "HassSetPosition": (*_TARGET, "position"),
    "HassGetCurrentDate": (),
    "HassGetCurrentTime": (),
    "HassLightSet": (*_PLACE, "domain", "brightness", "color", "temperature"),
    "HassClimateSetTemperature": (*_PLACE, "temperature"),
    "HassClimateGetTemperature": _PLACE,
    "HassShoppingListAddItem": ("item",),
    "HassShoppingListCompleteItem": ("item",),
    "HassGetWeather": ("name",),
    "HassListAddItem": ("item", "name"),
    "HassListCompleteItem": ("item", "name"),
    "HassListRemoveItem": ("item", "name"),
    "HassVacuumStart": _PLACE,
    "HassVacuumReturnToBase": ("name", "area"),
    "HassVacuumCleanArea": ("name", "area"),
    "HassMediaPause": ("name", "area"),
    "HassMediaUnpause": ("name", "area"),
    "HassMediaNext": ("name", "area"),
    "HassMediaPrevious": ("name", "area"),
    "HassSetVolume": ("name", "area", "volume_level"),
    "HassMediaPlayerMute": ("name", "area"),
    "HassMediaPlayerUnmute": ("name", "area"),
    "HassSetVolumeRelative": ("volume_step", *_PLACE),
    "HassMediaSearchAndPlay": ("name", "area", "search_query", "media_class"),
    "HassStartTimer": (*_TIME, "name", "conversation_command"),
    "HassCancelAllTimers": ("area",),
    "HassCancelTimer": _STARTED,
    "HassIncreaseTimer": (*_TIME, *_STARTED),
    "HassDecreaseTimer": (*_TIME, *_STARTED),
    "HassPauseTimer": _STARTED,
    "HassUnpauseTimer": _STARTED,
    "HassTimerStatus": _STARTED,
    "HassFanSetSpeed": (*_PLACE, "percentage"),
    "HassLawnMowerStartMowing": ("name",),
    "HassLawnMowerDock": ("name",),
}

REQUIRED_SLOTS: dict[str, tuple[str, ...]] = {
    "HassBroadcast": ("message",),
    "HassSetPosition": ("position",),
    "HassClimateSetTemperature": ("temperature",),
    "HassShoppingListAddItem": ("item",),
    "HassShoppingListCompleteItem": ("item",),
    "HassListAddItem": ("item", "name"),
    "HassListCompleteItem": ("item", "name"),
    "HassListRemoveItem": ("item", "name"),
    "HassVacuumCleanArea": ("area",),
    "HassSetVolume": ("volume_level",),
    "HassSetVolumeRelative": ("volume_step",),
    "HassMediaSearchAndPlay": ("search_query",),
    "HassFanSetSpeed": ("percentage",),
}


def slot_type(intent: str, slot: str) -> SlotType:
    """The type of `slot` in `intent`; `temperature` of a light is in kelvin, elsewhere degrees."""
    if intent == "HassLightSet" and slot == "temperature":
        return SlotType.KELVIN
    return SLOT_TYPES[slot]


def find_faults(call: ToolCall) -> list[str]:
    """What is wrong with `call` against the table, one sentence each; empty when it is valid."""
    known = INTENT_SLOTS.get(call.name)
    if known is None:
        return [f"unknown intent {call.name!r}"]
    faults = [
        f"{call.name} lacks {slot!r}"
        for slot in REQUIRED_SLOTS.get(call.name, ())
        if slot not in call.arguments
    ]
    for slot, value in call.arguments.items():
        if slot not in known:
            faults.append(f"{call.name} has no slot {slot!r}")
        elif not _fits(slot_type(call.name, slot), value):
            faults.append(f"{call.name}.{slot} cannot be {value!r}")
    return faults


def _fits(kind: SlotType, value: SlotValue) -> bool:
    if kind is SlotType.TEXT:
        return isinstance(value, str) and value.strip() == value != ""
    if kind is SlotType.WORD:
        return isinstance(value, str) and value == value.lower() != ""
    if kind is SlotType.STEP and isinstance(value, str):
        return value in ("up", "down")
    if kind is SlotType.DEGREES:
        return isinstance(value, int | float)
    return isinstance(value, int) and _in_range(kind, value)


def _in_range(kind: SlotType, value: int) -> bool:
    low, high = {
        SlotType.PERCENT: (0, 100),
        SlotType.COUNT: (1, 1_000_000),
        SlotType.KELVIN: (1000, 10_000),
        SlotType.STEP: (-100, 100),
    }[kind]
    return low <= value <= high
