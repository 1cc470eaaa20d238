"""Conversations to train and test on, made from patterns, names and a seed.

The same `Source` and seed give the same conversations. Training draws from the patterns that are
not held out; the tests draw from those, from unseen names, or from held-out patterns.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from scripts.builtin import speech, talk
from scripts.builtin.chat import Message, render_body
from scripts.builtin.intents import INTENT_SLOTS, SlotValue, ToolCall
from scripts.builtin.patterns import Form, Pattern, all_patterns, is_held_out
from scripts.builtin.sentences import (
    Command,
    Draft,
    Piece,
    draft_pattern,
    finish,
    join_drafts,
    make_polite,
    spell_pieces,
)
from scripts.builtin.words import Names


class Kind(Enum):
    """What the last user turn of a conversation asks for."""

    COMMAND = "command"
    SMALL_TALK = "small talk"
    REFUSED = "refused"
    FOLLOW_UP = "follow-up"
    TOOL_RESULT = "tool result"


@dataclass(frozen=True, slots=True)
class Source:
    """Where conversations are drawn from."""

    held_out_patterns: bool = False
    unseen_names: bool = False
    bare: bool = False
    """Only one user turn: no system turn and no history."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages that end with the assistant turn to be learned or tested."""

    messages: tuple[Message, ...]
    kind: Kind
    intent: str = ""
    """The intent of the first call of the last turn; empty without a call."""


INTENT_WEIGHTS: dict[str, float] = {
    "HassTurnOn": 5,
    "HassTurnOff": 5,
    "HassGetState": 5,
    "HassLightSet": 3.5,
    "HassClimateSetTemperature": 3,
    "HassSetPosition": 1.5,
    "HassStartTimer": 2,
    "HassSetVolumeRelative": 1.5,
    "HassMediaSearchAndPlay": 1.5,
}
"""How often an intent is drawn, against 1 for the others."""

KIND_WEIGHTS: dict[Kind, float] = {
    Kind.COMMAND: 62,
    Kind.REFUSED: 25,
    Kind.SMALL_TALK: 5,
    Kind.FOLLOW_UP: 6,
    Kind.TOOL_RESULT: 2,
}

_SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a voice assistant for Home Assistant.",
    "You are a smart home assistant. Answer in plain text, briefly.",
    "You control a smart home.",
    "Answer questions about the world truthfully. Keep it simple and to the point.",
    "You are Jarvis, a butler.",
    "Be concise.",
    "You are the voice of this house. Be polite and short.",
    "Reply in one sentence.",
    "You are a local model on a small device.",
    "Control the devices of the user.",
    "The current time is 10:42. Today is Friday.",
)
_LEADS = ("and the ", "and ", "the ", "also the ", "same for the ", "now the ")
_TOO = (" too", " as well", "")
_GOOD_RESULTS = ('{"success": true}', "success", "ok", "done", '{"speech": "ok"}', "true")
_BAD_RESULTS = (
    '{"error": "not found"}',
    "error",
    "Error: unknown device",
    '{"success": false}',
    "failed",
    '{"error": "timeout"}',
)
_REVERSIBLE = frozenset({"HassTurnOn", "HassTurnOff"})


class Generator:
    """Draws conversations from one `Source` and one seed."""

    def __init__(self, seed: int | str, source: Source | None = None) -> None:
        self.source = source or Source()
        self.rng = random.Random(f"{seed}/{self.source}")
        self.names = Names(self.rng, unseen=self.source.unseen_names)
        self._patterns = group_patterns(held_out=self.source.held_out_patterns)
        self._refused = _split(talk.REFUSED, held_out=self.source.held_out_patterns)

    def __iter__(self) -> Iterator[Conversation]:
        """Conversations without end."""
        while True:
            yield self.draw()

    def draw(self) -> Conversation:
        """The next conversation."""
        kind = self.rng.choices(list(KIND_WEIGHTS), list(KIND_WEIGHTS.values()))[0]
        if self.source.bare and kind in (Kind.FOLLOW_UP, Kind.TOOL_RESULT):
            kind = Kind.COMMAND
        turns = self._draw_turns(kind)
        before = () if self.source.bare else self._draw_context()
        calls = turns[-1].calls
        return Conversation((*before, *turns), kind, calls[0].name if calls else "")

    def _draw_turns(self, kind: Kind) -> tuple[Message, ...]:
        if kind is Kind.REFUSED:
            return self._draw_refused()
        if kind is Kind.SMALL_TALK:
            return self._draw_small_talk()
        if kind is Kind.FOLLOW_UP:
            return self._draw_follow_up()
        turns = _exchange(self.draw_command())
        if kind is Kind.TOOL_RESULT:
            return (*turns, *self._draw_tool_result())
        return turns

    def draw_command(self) -> Command:
        """A sentence with one to three commands, one call or more."""
        first = self._draw_draft()
        drafts = [first]
        if first.form is not Form.QUESTION:
            for _ in range(self.rng.choices((0, 1, 2), (66, 27, 7))[0]):
                drafts.append(self._draw_draft(joinable=True))
        draft = join_drafts(drafts, self.rng) if len(drafts) > 1 else first
        return finish(make_polite(draft, self.rng), self.rng)

    def _draw_draft(self, *, joinable: bool = False) -> Draft:
        while True:
            pattern = self._draw_pattern()
            if not joinable or pattern.form is Form.COMMAND:
                return draft_pattern(pattern, self.names)

    def _draw_pattern(self) -> Pattern:
        intents = list(self._patterns)
        weights = [INTENT_WEIGHTS.get(intent, 1) for intent in intents]
        return self.rng.choice(self._patterns[self.rng.choices(intents, weights)[0]])

    def _draw_refused(self) -> tuple[Message, ...]:
        text = talk.say(self.rng.choice(self._refused), self.names)
        return _pair(self._spell(text, Form.QUESTION), speech.REFUSAL)

    def _draw_small_talk(self) -> tuple[Message, ...]:
        topic = self.rng.choice(talk.SMALL_TALK)
        text = talk.say(self.rng.choice(topic.templates), self.names)
        form = Form.QUESTION if text.startswith(("wh", "how")) else Form.COMMAND
        return _pair(self._spell(text, form), topic.reply)

    def _draw_follow_up(self) -> tuple[Message, ...]:
        """A command and a second turn that repeats it elsewhere or takes it back."""
        while True:
            draft = self._draw_draft()
            command = finish(draft, self.rng)
            call = command.calls[0]
            slot = "area" if "area" in call.arguments else "name"
            if call.name in _REPEATABLE and len(command.calls) == 1 and slot in call.arguments:
                break
        if call.name in _REVERSIBLE and self.rng.random() < 0.3:
            again = self._reverse(call)
        else:
            again = self._repeat(call, slot)
        return (*_exchange(command), *_exchange(again))

    def _repeat(self, call: ToolCall, slot: str) -> Command:
        """`and the bedroom too`: the same call with another area or name."""
        target = self.names.area() if slot == "area" else self.names.device("switch")
        lead = self.rng.choice(_LEADS)
        tail = self.rng.choice(_TOO) if lead.startswith(("and", "the")) else ""
        pieces = [Piece(lead), Piece(target), Piece(tail or " too" * (lead == "the "))]
        spelled = spell_pieces([piece for piece in pieces if piece.text], Form.COMMAND, self.rng)
        arguments: dict[str, SlotValue] = call.arguments | {slot: spelled[1].text}
        if slot == "area":
            arguments.pop("name", None)
        return Command("".join(p.text for p in spelled), [ToolCall(call.name, arguments)])

    def _reverse(self, call: ToolCall) -> Command:
        """`turn it off again`: the opposite call on the same target."""
        is_on = call.name == "HassTurnOn"
        words_for = {"cover": ("open", "close"), "lock": ("lock", "unlock")}
        pair = words_for.get(str(call.arguments.get("domain", "")))
        word = self.rng.choice(("it", "them"))
        if pair:
            text = f"{pair[is_on]} {word}{self.rng.choice(('', ' again'))}"
        else:
            state = "off" if is_on else "on"
            forms = (f"turn {word} {state}", f"turn {word} {state} again", f"switch {word} {state}")
            text = self.rng.choice(forms)
        opposite = "HassTurnOff" if is_on else "HassTurnOn"
        return Command(self._spell(text, Form.COMMAND), [ToolCall(opposite, call.arguments)])

    def _draw_tool_result(self) -> tuple[Message, ...]:
        is_good = self.rng.random() < 0.7
        result = self.rng.choice(_GOOD_RESULTS if is_good else _BAD_RESULTS)
        reply = speech.DONE if is_good else speech.FAILED
        return (Message("tool", result), Message("assistant", reply, is_trained=True))

    def _draw_context(self) -> tuple[Message, ...]:
        """A system turn, earlier turns, both or neither."""
        turns: list[Message] = []
        if self.rng.random() < 0.33:
            turns.append(Message("system", self._draw_system_prompt()))
        if self.rng.random() < 0.25:
            # A few long histories teach distances up to the whole context window.
            count = self.rng.randint(4, 9) if self.rng.random() < 0.06 else self.rng.randint(1, 3)
            for _ in range(count):
                turns.extend(self._draw_earlier_exchange())
        return tuple(turns)

    def _draw_earlier_exchange(self) -> tuple[Message, ...]:
        roll = self.rng.random()
        if roll < 0.15:
            # An answer by another model: read, not learned.
            question = talk.say(self.rng.choice(self._refused), self.names)
            answer = " ".join(self.names.word() for _ in range(self.rng.randint(3, 20)))
            return (Message("user", question), Message("assistant", answer))
        if roll < 0.3:
            return self._draw_refused() if self.rng.random() < 0.5 else self._draw_small_talk()
        command = self.draw_command()
        if self.rng.random() < 0.3:
            reply = Message("assistant", "", tuple(command.calls), is_compact=True)
            result = Message("tool", self.rng.choice(_GOOD_RESULTS))
            done = Message("assistant", speech.DONE, is_trained=True)
            return (Message("user", command.text), reply, result, done)
        return _exchange(command)

    def _draw_system_prompt(self) -> str:
        prompt = self.rng.choice(_SYSTEM_PROMPTS)
        if self.rng.random() < 0.7:
            return prompt
        count = self.rng.randint(25, 60) if self.rng.random() < 0.1 else self.rng.randint(2, 10)
        devices = (self.names.device("switch") for _ in range(count))
        joiner = self.rng.choice((", ", "\n- ", "; "))
        label = self.rng.choice(("Devices", "Areas", "Names", "Exposed"))
        return f"{prompt} {label}: {joiner.join(devices)}"

    def _spell(self, text: str, form: Form) -> str:
        pieces = spell_pieces([Piece(text)], form, self.rng)
        return "".join(piece.text for piece in pieces)


_REPEATABLE = frozenset(
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
    }
)


def group_patterns(*, held_out: bool) -> dict[str, list[Pattern]]:
    """Patterns by intent, either those of training or those held out.

    The first pattern of an intent is always trained on, so every intent is in training.
    """
    groups: dict[str, list[Pattern]] = {intent: [] for intent in INTENT_SLOTS}
    for pattern in all_patterns():
        groups[pattern.intent].append(pattern)
    if not held_out:
        return {
            intent: [p for i, p in enumerate(group) if i == 0 or not is_held_out(p.template)]
            for intent, group in groups.items()
        }
    kept = {
        intent: [p for i, p in enumerate(group) if i > 0 and is_held_out(p.template)]
        for intent, group in groups.items()
    }
    return {intent: group for intent, group in kept.items() if group}


def fingerprint(seed: int | str, count: int = 4096) -> str:
    """SHA-256 (hex) of the first `count` training conversations of `seed`, bare and in full."""
    digest = hashlib.sha256()
    for source in (Source(bare=True), Source()):
        for conversation in itertools.islice(Generator(seed, source), count):
            for message in conversation.messages:
                digest.update(f"{message.role}\n{render_body(message)}\0".encode())
    return digest.hexdigest()


def _split(templates: tuple[str, ...], *, held_out: bool) -> list[str]:
    return [template for template in templates if is_held_out(template) == held_out]


def _exchange(command: Command) -> tuple[Message, ...]:
    calls = tuple(command.calls)
    reply = Message("assistant", speech.say_calls(calls), calls, is_trained=True)
    return (Message("user", command.text), reply)


def _pair(text: str, reply: str) -> tuple[Message, ...]:
    return (Message("user", text), Message("assistant", reply, is_trained=True))
