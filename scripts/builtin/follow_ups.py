"""Second turns: what is said after a command to repeat, correct or take it back."""

from __future__ import annotations

from collections.abc import Callable

from scripts.builtin.grammar import Form
from scripts.builtin.home_fillers import FILLERS
from scripts.builtin.intents import SlotValue, ToolCall
from scripts.builtin.sentences import Command, Copy, Draft, Piece, finish
from scripts.builtin.templates import split_words
from scripts.builtin.words import Names

REPEATABLE = frozenset(
    {
        "HassTurnOn",
        "HassTurnOff",
        "HassLightSet",
        "HassSetPosition",
        "HassClimateSetTemperature",
        "HassClimateGetTemperature",
        "HassFanSetSpeed",
        "HassVacuumCleanArea",
        "HassGetState",
        "HassSetVolume",
        "HassMediaPause",
        "HassMediaPlayerMute",
    }
)
_OPPOSITES = {
    "HassTurnOn": "HassTurnOff",
    "HassTurnOff": "HassTurnOn",
    "HassMediaPause": "HassMediaUnpause",
    "HassMediaUnpause": "HassMediaPause",
    "HassMediaPlayerMute": "HassMediaPlayerUnmute",
    "HassMediaPlayerUnmute": "HassMediaPlayerMute",
}
_AGAIN = split_words(
    "and {}|and {} too|and {} as well|also {}|{} too|{} as well|same for {}|the same for {}|"
    "do the same for {}|do that for {} too|now {}|what about {}|how about {}|and also {}|"
    "and now {}|then {}|next {}|add {}|oh and {}|{} also|and do {}|the same with {}|plus {}"
)
_AGAIN_IN = split_words(
    "and in {}|in {} too|also in {}|the same in {}|do the same in {}|and in {} as well|"
    "same thing in {}|do that in {} too|what about in {}|now in {}|in {} as well please"
)
_CORRECTED = split_words(
    "no, {}|no {}|no i meant {}|i meant {}|sorry, {}|sorry i meant {}|actually {}|not that, {}|"
    "{} instead|no no, {}|wrong one, {}|wait, {}|i said {}|oops, {}|make that {}|no, i said {}|"
    "nope, {}|rather {}|i mean {}|not there, {}|that's wrong, i meant {}|correction, {}|"
    "no not that one, {}"
)
_CHANGED = split_words(
    "make it {}|no, {}|make that {}|actually {}|change it to {}|{} instead|no i said {}|"
    "i meant {}|set it to {}|better {}|no, make it {}|{} is better|try {}|to {} please|now {}"
)
_UNDONE = split_words(
    "undo that|no, undo|reverse that|take that back|undo|put it back|no, the other way|"
    "no, the opposite|change it back|that was wrong, undo it"
)
_VALUES: dict[str, tuple[tuple[str, str], ...]] = {
    "HassLightSet": (("brightness", "percent"), ("color", "color")),
    "HassSetPosition": (("position", "percent"),),
    "HassClimateSetTemperature": (("temperature", "degrees"),),
    "HassFanSetSpeed": (("percentage", "percent"),),
    "HassSetVolume": (("volume_level", "percent"),),
}


def follow_up(call: ToolCall, names: Names, slips: float) -> Command:
    """A turn that only makes sense after `call`, which must be repeatable."""
    rng = names.rng
    makers: list[Callable[[ToolCall, Names, float], Command]] = [_elsewhere, _elsewhere]
    if call.name in _OPPOSITES:
        makers.append(_reverse)
    if call.name in _VALUES:
        makers.append(_change)
    return rng.choice(makers)(call, names, slips)


def _elsewhere(call: ToolCall, names: Names, slips: float) -> Command:
    """`and the bedroom too`, `no, the bedroom`: the same call with another area or name."""
    rng = names.rng
    slot = "area" if "area" in call.arguments else "name"
    target = names.area() if slot == "area" else names.device("switch")
    frames = rng.choice((_AGAIN, _AGAIN, _CORRECTED, _AGAIN_IN if slot == "area" else _AGAIN))
    before, _, after = rng.choice(frames).partition("{}")
    article = rng.choice(("the ", "the ", "", "my "))
    pieces = [Piece(before + article), Piece(target, Copy(0, slot)), Piece(after)]
    arguments: dict[str, SlotValue] = dict(call.arguments)
    if slot == "area":
        arguments.pop("name", None)
    arguments.pop(slot)
    return finish(
        _draft(pieces, ToolCall(call.name, arguments)), rng, slips=slips, listed=names.listed
    )


def _change(call: ToolCall, names: Names, slips: float) -> Command:
    """`make it 40 percent`: the same call with another value."""
    slots = [pair for pair in _VALUES[call.name] if pair[0] in call.arguments]
    slot, filler = names.rng.choice(slots or _VALUES[call.name])
    fill = FILLERS[filler](names, slot)
    before, _, after = names.rng.choice(_CHANGED).partition("{}")
    pieces = [Piece(before), Piece(fill.text), Piece(after)]
    changed = ToolCall(call.name, call.arguments | fill.values)
    return finish(_draft(pieces, changed), names.rng, slips=slips, listed=names.listed)


def _reverse(call: ToolCall, names: Names, slips: float) -> Command:
    """`turn it off again`: the opposite call on the same target."""
    rng = names.rng
    opposite = ToolCall(_OPPOSITES[call.name], dict(call.arguments))
    text = rng.choice(_UNDONE) if rng.random() < 0.35 else _say_reverse(call, names)
    return finish(_draft([Piece(text)], opposite), rng, slips=slips, listed=names.listed)


def _say_reverse(call: ToolCall, names: Names) -> str:
    rng = names.rng
    word = rng.choice(("it", "them", "that"))
    words_for = {"cover": ("open", "close"), "lock": ("lock", "unlock")}
    pair = words_for.get(str(call.arguments.get("domain", "")))
    tail = rng.choice(("", " again", " please", " now"))
    if pair:
        return f"{pair[call.name == 'HassTurnOn']} {word}{tail}"
    if call.name in ("HassTurnOn", "HassTurnOff"):
        state = "off" if call.name == "HassTurnOn" else "on"
        verb = rng.choice(("turn", "switch"))
        return rng.choice((f"{verb} {word} {state}{tail}", f"no, {state}", f"i meant {state}"))
    if "mute" in call.name.lower():
        return rng.choice(("unmute it", "sound on again", "turn the sound back on", "unmute"))
    return rng.choice(("resume", "keep playing", "go on", "continue", "carry on please"))


def _draft(pieces: list[Piece], call: ToolCall) -> Draft:
    return Draft([piece for piece in pieces if piece.text], [call], Form.COMMAND)
