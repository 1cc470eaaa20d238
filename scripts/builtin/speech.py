"""What the model says: one short sentence about its calls, or a fixed reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from scripts.builtin.intents import SlotValue, ToolCall
from scripts.builtin.replies import fill_reply

UNSURE = "I'm not sure about that."
"""Spoken when someone else should answer; the control token of the same meaning precedes it."""
DONE = "Done."
FAILED = "Sorry, that did not work."
"""Spoken after a tool reported an error."""

Arguments = dict[str, SlotValue]

_PLURALS = {
    "light": "lights",
    "fan": "fans",
    "switch": "switches",
    "media_player": "speakers",
    "lock": "locks",
    "blind": "blinds",
    "curtain": "curtains",
    "shutter": "shutters",
    "shade": "shades",
    "window": "windows",
    "garage": "garage doors",
    "gate": "gates",
    "awning": "awnings",
    "door": "doors",
    "motion": "motion",
    "humidity": "humidity",
}
_VERBS = {
    "HassTurnOn": {"cover": "opening", "lock": "locking", "": "turning on"},
    "HassTurnOff": {"cover": "closing", "lock": "unlocking", "": "turning off"},
}


def say_calls(calls: Sequence[ToolCall], replies: Mapping[str, str] = MappingProxyType({})) -> str:
    """A sentence that names every call: `Turning on the lamp and pausing the music`.

    `replies` has what is said of the intents that are not those of a home.
    """
    phrases = [
        fill_reply(replies[call.name], call.arguments) if call.name in replies else describe(call)
        for call in calls
    ]
    head = ", ".join(phrases[:-1])
    text = f"{head} and {phrases[-1]}" if head else phrases[-1]
    return f"{text[0].upper()}{text[1:]}."


def can_describe(intent: str) -> bool:
    """Whether `describe` has words for calls of `intent`."""
    return intent in _VERBS or intent in _DESCRIBERS


def describe(call: ToolCall) -> str:
    """What a call of the home does, beginning with a lower-case word in -ing (or `okay`)."""
    args = call.arguments
    if call.name in _VERBS:
        verbs = _VERBS[call.name]
        verb = verbs.get(str(args.get("domain", "")), verbs[""])
        return f"{verb} {_target(args)}"
    return _DESCRIBERS[call.name](args)


def _the(name: SlotValue) -> str:
    """`name` with an article, unless it begins with a possessive."""
    return str(name) if "'" in str(name) else f"the {name}"


def _target(args: Arguments) -> str:
    """The devices a call is about, from the most to the least specific slot."""
    if "name" in args:
        return f"{_the(args['name'])}{_place(args)}"
    kind = str(args.get("device_class", args.get("domain", "")))
    noun = _PLURALS.get(kind, kind.replace("_", " ") if "device_class" in args else "everything")
    if "area" in args:
        if noun == "everything":
            return f"everything in {_the(args['area'])}"
        return f"{_the(args['area'])} {noun}"
    if "floor" in args:
        return f"the {args['floor']} {noun}"
    return noun if noun == "everything" else f"the {noun}"


def _place(args: Arguments) -> str:
    if "area" in args:
        return f" in {_the(args['area'])}"
    return f" on the {args['floor']} level" if "floor" in args else ""


def _owned(args: Arguments, noun: str) -> str:
    """`noun` with the name or area it belongs to: `the kitchen volume`."""
    if "name" in args:
        return f"{_the(args['name'])}{_place(args)}"
    if "area" in args:
        return f"{_the(args['area'])} {noun}"
    if "floor" in args:
        return f"the {args['floor']} {noun}"
    return f"the {noun}"


def _span(args: Arguments, prefix: str = "") -> str:
    """A length of time: `1 hour and 5 minutes`."""
    parts = []
    for unit in ("hours", "minutes", "seconds"):
        amount = args.get(f"{prefix}{unit}")
        if amount is not None:
            parts.append(f"{amount} {unit[:-1] if amount == 1 else unit}")
    return " and ".join(parts)


def _timer(args: Arguments) -> str:
    if "name" in args:
        return f"{_the(args['name'])} timer"
    started = _span(args, "start_")
    return f"the timer of {started}" if started else f"the timer{_place(args)}"


def _light(args: Arguments) -> str:
    settings = []
    if "color" in args:
        settings.append(str(args["color"]))
    if "brightness" in args:
        settings.append(f"{args['brightness']} percent")
    if "temperature" in args:
        settings.append(f"{args['temperature']} kelvin")
    return f"setting {_owned(args, 'lights')} to {' and '.join(settings)}"


def _louder(args: Arguments) -> str:
    step = args["volume_step"]
    sound = _owned(args, "volume")
    if isinstance(step, str):
        return f"turning {sound} {step}"
    return f"turning {sound} {'up' if step > 0 else 'down'} by {abs(step)} percent"


def _state(args: Arguments) -> str:
    if args.get("domain") == "person":
        return f"checking where {args['name']} is" if "name" in args else "checking who is home"
    kind = str(args["device_class"]).replace("_", " ") if "device_class" in args else None
    if "name" in args and kind is not None:
        return f"checking the {kind} of {_the(args['name'])}"
    return f"checking {_target(args)}"


def _set_timer(args: Arguments) -> str:
    name = f"{_the(args['name'])} timer" if "name" in args else "a timer"
    then = " with a command" if "conversation_command" in args else ""
    return f"setting {name} for {_span(args)}{then}"


_DESCRIBERS: dict[str, Callable[[Arguments], str]] = {
    "HassGetState": _state,
    "HassNevermind": lambda _: "okay, never mind",
    "HassRespond": lambda args: f"saying {args['response']}",
    "HassBroadcast": lambda _: "announcing that",
    "HassSetPosition": lambda args: f"setting {_target(args)} to {args['position']} percent",
    "HassGetCurrentDate": lambda _: "checking the date",
    "HassGetCurrentTime": lambda _: "checking the time",
    "HassLightSet": _light,
    "HassClimateSetTemperature": lambda args: (
        f"setting {_the(args['area']) if set(args) == {'area', 'temperature'} else _heat(args)} "
        f"to {args['temperature']} degrees"
    ),
    "HassClimateGetTemperature": lambda args: f"checking {_heat(args)}",
    "HassShoppingListAddItem": lambda args: f"adding {args['item']} to the shopping list",
    "HassShoppingListCompleteItem": lambda args: f"checking off {args['item']}",
    "HassGetWeather": lambda args: (
        f"checking the weather in {args['name']}" if "name" in args else "checking the weather"
    ),
    "HassListAddItem": lambda args: f"adding {args['item']} to the {args['name']} list",
    "HassListCompleteItem": lambda args: f"checking off {args['item']} on the {args['name']} list",
    "HassListRemoveItem": lambda args: f"removing {args['item']} from the {args['name']} list",
    "HassVacuumStart": lambda args: f"starting {_robot(args, 'vacuum')}",
    "HassVacuumReturnToBase": lambda args: f"sending {_robot(args, 'vacuum')} home",
    "HassVacuumCleanArea": lambda args: f"cleaning {_the(args['area'])}",
    "HassMediaPause": lambda args: f"pausing {_owned(args, 'music')}",
    "HassMediaUnpause": lambda args: f"resuming {_owned(args, 'music')}",
    "HassMediaNext": lambda args: f"skipping to the next track{_on(args)}",
    "HassMediaPrevious": lambda args: f"going back to the previous track{_on(args)}",
    "HassSetVolume": lambda args: (
        f"setting {_owned(args, 'volume')} to {args['volume_level']} percent"
    ),
    "HassMediaPlayerMute": lambda args: f"muting {_owned(args, 'sound')}",
    "HassMediaPlayerUnmute": lambda args: f"unmuting {_owned(args, 'sound')}",
    "HassSetVolumeRelative": _louder,
    "HassMediaSearchAndPlay": lambda args: f"playing {args['search_query']}{_on(args)}",
    "HassStartTimer": _set_timer,
    "HassCancelAllTimers": lambda args: f"cancelling all timers{_place(args)}",
    "HassCancelTimer": lambda args: f"cancelling {_timer(args)}",
    "HassIncreaseTimer": lambda args: f"adding {_span(args)} to {_timer(args)}",
    "HassDecreaseTimer": lambda args: f"taking {_span(args)} off {_timer(args)}",
    "HassPauseTimer": lambda args: f"pausing {_timer(args)}",
    "HassUnpauseTimer": lambda args: f"resuming {_timer(args)}",
    "HassTimerStatus": lambda args: f"checking {_timer(args)}",
    "HassFanSetSpeed": lambda args: (
        f"setting {_owned(args, 'fan')} to {args['percentage']} percent"
    ),
    "HassLawnMowerStartMowing": lambda args: f"starting {_robot(args, 'lawn mower')}",
    "HassLawnMowerDock": lambda args: f"sending {_robot(args, 'lawn mower')} home",
}


def _heat(args: Arguments) -> str:
    return _owned(args, "temperature")


def _robot(args: Arguments, noun: str) -> str:
    return f"{_the(args.get('name', noun))}{_place(args)}"


def _on(args: Arguments) -> str:
    if "name" in args:
        return f" on {_the(args['name'])}{_place(args)}"
    return _place(args)
