"""Home Assistant's intents: which there are, how they are offered as tools, what a call must be.

Source: intent and slot names from OHF-Voice/intents `intents.yaml` (CC-BY-4.0), read 2026-11-22;
the descriptions are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edge_llm.types import ToolCall

MAX_CALLS = 8
MAX_VALUE_CHARS = 500


@dataclass(frozen=True, slots=True)
class IntentSpec:
    """One intent that Home Assistant can execute."""

    slots: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    description: str = ""
    """For models that have to be told; empty: it is understood, but not offered."""


_PLACE = ("name", "area", "floor")
_DEVICES = (*_PLACE, "domain", "device_class")
_TIME = ("hours", "minutes", "seconds")
_TIMER = ("start_hours", "start_minutes", "start_seconds", "name", "area")

INTENTS: Mapping[str, IntentSpec] = MappingProxyType(
    {
        "HassTurnOn": IntentSpec(_DEVICES, description="Turn on, open or lock devices."),
        "HassTurnOff": IntentSpec(_DEVICES, description="Turn off, close or unlock devices."),
        "HassGetState": IntentSpec(
            (*_DEVICES, "state"), description="Ask what devices are doing; the home answers."
        ),
        "HassLightSet": IntentSpec(
            (*_PLACE, "domain", "brightness", "color", "temperature"),
            description="Change the brightness or the colour of lights.",
        ),
        "HassSetPosition": IntentSpec(
            (*_DEVICES, "position"), ("position",), "Move covers or valves to a position."
        ),
        "HassClimateSetTemperature": IntentSpec(
            (*_PLACE, "temperature"), ("temperature",), "Set the temperature that is wanted."
        ),
        "HassClimateGetTemperature": IntentSpec(_PLACE, description="Ask for the temperature."),
        "HassFanSetSpeed": IntentSpec(
            (*_PLACE, "percentage"), ("percentage",), "Set the speed of fans."
        ),
        "HassVacuumStart": IntentSpec(_PLACE, description="Start a vacuum cleaner."),
        "HassVacuumReturnToBase": IntentSpec(("name", "area"), description="Send it to its base."),
        "HassVacuumCleanArea": IntentSpec(("name", "area"), ("area",)),
        "HassMediaPause": IntentSpec(("name", "area"), description="Pause a player."),
        "HassMediaUnpause": IntentSpec(("name", "area"), description="Let a player go on."),
        "HassMediaNext": IntentSpec(("name", "area"), description="Play what comes next."),
        "HassMediaPrevious": IntentSpec(("name", "area")),
        "HassMediaPlayerMute": IntentSpec(("name", "area")),
        "HassMediaPlayerUnmute": IntentSpec(("name", "area")),
        "HassMediaSearchAndPlay": IntentSpec(
            ("name", "area", "search_query", "media_class"),
            ("search_query",),
            "Search for music or video and play it.",
        ),
        "HassSetVolume": IntentSpec(
            ("name", "area", "volume_level"), ("volume_level",), "Set the volume of a player."
        ),
        "HassSetVolumeRelative": IntentSpec((*_PLACE, "volume_step"), ("volume_step",)),
        "HassStartTimer": IntentSpec(
            (*_TIME, "name", "conversation_command"), description="Start a timer."
        ),
        "HassCancelTimer": IntentSpec(_TIMER, description="Cancel a timer."),
        "HassCancelAllTimers": IntentSpec(("area",)),
        "HassIncreaseTimer": IntentSpec((*_TIME, *_TIMER)),
        "HassDecreaseTimer": IntentSpec((*_TIME, *_TIMER)),
        "HassPauseTimer": IntentSpec(_TIMER),
        "HassUnpauseTimer": IntentSpec(_TIMER),
        "HassTimerStatus": IntentSpec(_TIMER, description="Ask how long a timer still runs."),
        "HassShoppingListAddItem": IntentSpec(
            ("item",), ("item",), "Put an item on the shopping list."
        ),
        "HassShoppingListCompleteItem": IntentSpec(("item",), ("item",)),
        "HassListAddItem": IntentSpec(
            ("item", "name"), ("item", "name"), "Put an item on the list of that name."
        ),
        "HassListCompleteItem": IntentSpec(("item", "name"), ("item", "name")),
        "HassListRemoveItem": IntentSpec(("item", "name"), ("item", "name")),
        "HassGetWeather": IntentSpec(("name",), description="Ask for the weather now."),
        "HassGetCurrentTime": IntentSpec(description="Ask for the time."),
        "HassGetCurrentDate": IntentSpec(description="Ask for the date."),
        "HassBroadcast": IntentSpec(("message",), ("message",), "Say something in all rooms."),
        "HassRespond": IntentSpec(("response",)),
        "HassNevermind": IntentSpec(description="Do nothing: the person changed their mind."),
        "HassLawnMowerStartMowing": IntentSpec(("name",)),
        "HassLawnMowerDock": IntentSpec(("name",)),
    }
)

_NUMBERS: Mapping[str, Mapping[str, Any]] = {
    **{
        slot: {"type": "integer", "minimum": 0, "maximum": 100}
        for slot in ("brightness", "percentage", "position", "volume_level")
    },
    **{slot: {"type": "integer", "minimum": 0} for slot in (*_TIME, *_TIMER[:3])},
    "temperature": {"type": "number"},
}
_TOLD: Mapping[str, str] = {
    "name": "A device, as it was said.",
    "domain": "A kind of device: light, switch, cover, lock, fan, media_player …",
    "state": "The state asked about: on, off, open, closed, locked …",
}

_SAME_STATES: Mapping[str, list[str]] = {
    "open": ["open", "on"],
    "closed": ["closed", "off"],
    "unlocked": ["unlocked", "on"],
    "locked": ["locked", "off"],
}
"""A sensor at a window is `on` where a cover is `open`, and nobody hears which of the two a name
stands for. Source: home-assistant/core `binary_sensor` device classes door, lock and window."""


def offered_tools() -> list[dict[str, Any]]:
    """The intents that are worth telling a model about, as OpenAI-style tools."""
    return [_tool(name, spec) for name, spec in INTENTS.items() if spec.description]


def _tool(name: str, spec: IntentSpec) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {slot: _schema(slot) for slot in spec.slots},
        "required": list(spec.required),
    }
    function = {"name": name, "description": spec.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _schema(slot: str) -> dict[str, Any]:
    if slot in _NUMBERS:
        return dict(_NUMBERS[slot])
    told = _TOLD.get(slot)
    return {"type": "string"} if told is None else {"type": "string", "description": told}


def find_fault(calls: Sequence[ToolCall]) -> str | None:
    """Why Home Assistant could not execute these calls; None where it can try."""
    if len(calls) > MAX_CALLS:
        return f"{len(calls)} calls at once"
    return next((fault for call in calls if (fault := _fault(call)) is not None), None)


def _fault(call: ToolCall) -> str | None:
    spec = INTENTS.get(call.name)
    if spec is None:
        return f"no intent {call.name[:60]!r}"
    missing = [slot for slot in spec.required if call.arguments.get(slot) in (None, "")]
    if missing:
        return f"{call.name} without {missing[0]!r}"
    unknown = [slot for slot in call.arguments if slot not in spec.slots]
    if unknown:
        return f"{call.name} has no slot {unknown[0][:60]!r}"
    wrong = [slot for slot, value in call.arguments.items() if not _is_value(value)]
    return f"{call.name} with a {wrong[0]!r} of no use" if wrong else None


def _is_value(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= MAX_CALLS and all(isinstance(v, str) and _is_value(v) for v in value)
    if isinstance(value, str):
        return len(value) <= MAX_VALUE_CHARS
    return value is None or isinstance(value, int | float)


def entities(call: ToolCall) -> dict[str, Any]:
    """The slots of a call as Home Assistant takes them; empty ones are left out."""
    found = {slot: value for slot, value in call.arguments.items() if value not in (None, "")}
    state = found.get("state")
    if call.name == "HassGetState" and isinstance(state, str):
        found["state"] = _SAME_STATES.get(state.lower(), state)
    return found
