"""Conversations to train and test on, made from a grammar, names and a seed.

The same `Source` and seed give the same conversations. Training draws from the lines of the grammar
that are not held out; the tests draw from those, from unseen names, or from held-out lines.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from scripts.builtin import out_of_scope, speech
from scripts.builtin.chat import Message, render_body, render_tools
from scripts.builtin.follow_ups import REPEATABLE, follow_up
from scripts.builtin.grammar import Form, Pattern, is_held_out, load_grammar
from scripts.builtin.homes import HomeNames, describe_home
from scripts.builtin.intents import INTENT_SLOTS
from scripts.builtin.prompts import FOREIGN_TOOLS, SYSTEM_PROMPTS, tell_time
from scripts.builtin.sentences import (
    Command,
    Draft,
    Piece,
    draft_pattern,
    finish,
    join_drafts,
    make_polite,
)
from scripts.builtin.words import Names


class Kind(Enum):
    """What the last user turn of a conversation asks for."""

    COMMAND = "command"
    ABSENT = "command to what the home lacks"
    UNOFFERED = "command without a tool for it"
    SMALL_TALK = "small talk"
    REFUSED = "out of scope"
    FOLLOW_UP = "follow-up"
    TOOL_RESULT = "tool result"
    TIME = "time in the prompt"


@dataclass(frozen=True, slots=True)
class Source:
    """Where conversations are drawn from."""

    held_out: bool = False
    """Only lines of the grammar that are kept from training."""
    unseen_names: bool = False
    bare: bool = False
    """Only one user turn: no system turn, no tools and no history."""
    slips: float | None = None
    """Share of words with a slip; None: as in training, none in most sentences."""
    kinds: tuple[Kind, ...] = ()
    """Only these; empty: all, as in training."""
    num_commands: int = 0
    """Commands in a sentence; 0: as in training, one in most."""
    has_home: bool | None = None
    """Whether the system turn lists a home; None: as in training."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages that end with the assistant turn to be learned or tested."""

    messages: tuple[Message, ...]
    kind: Kind
    topic: str = ""
    """The intent of the first call of the last turn, or the kind of out-of-scope sentence."""


INTENT_WEIGHTS: dict[str, float] = {
    "HassTurnOn": 6,
    "HassTurnOff": 6,
    "HassGetState": 5,
    "HassLightSet": 4,
    "HassClimateSetTemperature": 3,
    "HassSetPosition": 2,
    "HassStartTimer": 2,
    "HassSetVolumeRelative": 1.5,
    "HassMediaSearchAndPlay": 1.5,
}
"""How often an intent is drawn, against 1 for the others."""

KIND_WEIGHTS: dict[Kind, float] = {
    Kind.COMMAND: 46,
    Kind.REFUSED: 36,
    Kind.FOLLOW_UP: 7,
    Kind.SMALL_TALK: 5,
    Kind.ABSENT: 2.5,
    Kind.UNOFFERED: 1,
    Kind.TOOL_RESULT: 1.5,
    Kind.TIME: 1,
}
_HOME_KINDS = frozenset({Kind.COMMAND, Kind.REFUSED, Kind.FOLLOW_UP, Kind.SMALL_TALK})
_GOOD_RESULTS = ('{"success": true}', "success", "ok", "done", '{"speech": "ok"}', "true")
_BAD_RESULTS = (
    '{"error": "not found"}',
    "error",
    "Error: unknown device",
    '{"success": false}',
    "failed",
    '{"error": "timeout"}',
)
_TIME_INTENTS = frozenset({"HassGetCurrentTime", "HassGetCurrentDate"})


class Generator:
    """Draws conversations from one `Source` and one seed."""

    def __init__(self, seed: int | str, source: Source | None = None) -> None:
        self.source = source or Source()
        self.rng = random.Random(f"{seed}/{self.source}")
        self.grammar = load_grammar()
        self.names = Names(self.rng, unseen=self.source.unseen_names)
        self.slips = 0.0
        self._patterns = group_patterns(held_out=self.source.held_out)
        self._refused = {
            kind: lines
            for kind, templates in self.grammar.refused.items()
            if (lines := _split(templates, held_out=self.source.held_out))
        }

    def __iter__(self) -> Iterator[Conversation]:
        """Conversations without end."""
        while True:
            yield self.draw()

    def draw(self) -> Conversation:
        """The next conversation."""
        kind = self._draw_kind()
        has_home = self._draw_has_home(kind)
        make_names = HomeNames if has_home else Names
        self.names = make_names(self.rng, unseen=self.source.unseen_names)
        self.slips = self._draw_slips()
        before = () if self.source.bare else self._draw_history()
        turns, topic = self._draw_turns(kind)
        if isinstance(self.names, HomeNames):
            before = (self._describe_home(self.names), *before)
        elif kind is Kind.TIME or (not self.source.bare and self.rng.random() < 0.12):
            before = (self._draw_system(kind, turns), *before)
        if kind is Kind.UNOFFERED or (not self.source.bare and self.rng.random() < 0.08):
            before = (self._offer_tools(kind, (*before, *turns), topic), *before)
        return Conversation((*before, *turns), kind, topic)

    def draw_command(self) -> Command:
        """A sentence with one to three commands, one call or more."""
        drafts = [self._draw_draft(joinable=self.source.num_commands > 1)]
        if drafts[0].form is not Form.QUESTION:
            count = self.source.num_commands or self.rng.choices((1, 2, 3), (64, 26, 10))[0]
            drafts += [self._draw_draft(joinable=True) for _ in range(count - 1)]
        draft = join_drafts(drafts, self.rng) if len(drafts) > 1 else drafts[0]
        return self._finish(make_polite(draft, self.rng))

    def _draw_kind(self) -> Kind:
        weights = dict(KIND_WEIGHTS)
        if self.source.bare:
            weights = {k: w for k, w in weights.items() if k in _HOME_KINDS - {Kind.FOLLOW_UP}}
        if self.source.kinds:
            weights = {kind: KIND_WEIGHTS[kind] for kind in self.source.kinds}
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def _draw_has_home(self, kind: Kind) -> bool:
        if kind is Kind.ABSENT:
            return True
        if self.source.has_home is not None:
            return self.source.has_home
        return not self.source.bare and kind in _HOME_KINDS and self.rng.random() < 0.22

    def _draw_slips(self) -> float:
        if self.source.slips is not None:
            return self.source.slips
        return self.rng.uniform(0.05, 0.25) if self.rng.random() < 0.25 else 0.0

    def _draw_turns(self, kind: Kind) -> tuple[tuple[Message, ...], str]:
        """The last turns of a conversation, from what the user says; and what it is about."""
        if kind is Kind.REFUSED:
            return self._draw_refused()
        if kind is Kind.SMALL_TALK:
            return self._draw_small_talk(), ""
        if kind is Kind.FOLLOW_UP:
            return self._draw_follow_up()
        if kind is Kind.ABSENT:
            return self._draw_absent(), ""
        if kind is Kind.TIME:
            return self._draw_time_question(), ""
        command = self.draw_command()
        topic = command.calls[0].name
        if kind is Kind.UNOFFERED:
            return _unsure(command.text), topic
        turns = _exchange(command)
        return (*turns, *self._draw_tool_result()) if kind is Kind.TOOL_RESULT else turns, topic

    def _draw_draft(self, *, joinable: bool = False) -> Draft:
        while True:
            pattern = self._draw_pattern()
            if not joinable or pattern.form is Form.COMMAND:
                return draft_pattern(pattern, self.names)

    def _draw_pattern(self) -> Pattern:
        intents = list(self._patterns)
        weights = [INTENT_WEIGHTS.get(intent, 1) for intent in intents]
        return self.rng.choice(self._patterns[self.rng.choices(intents, weights)[0]])

    def _finish(self, draft: Draft) -> Command:
        return finish(draft, self.rng, slips=self.slips, listed=self.names.listed)

    def _spell(self, text: str, form: Form) -> str:
        return self._finish(Draft([Piece(text)], [], form)).text

    def _draw_refused(self) -> tuple[tuple[Message, ...], str]:
        kinds = list(self._refused)
        # By the root of its lines: a kind with many is seen more, a kind with few is not lost.
        weights = [len(lines) ** 0.5 for lines in self._refused.values()]
        kind = self.rng.choices(kinds, weights)[0]
        text = out_of_scope.say(self.rng.choice(self._refused[kind]), self.names, self.grammar)
        form = Form.QUESTION if text.startswith(_QUESTION_WORDS) else Form.COMMAND
        return _unsure(self._spell(text, form)), kind

    def _draw_small_talk(self) -> tuple[Message, ...]:
        topic = self.rng.choice(self.grammar.small_talk)
        text = out_of_scope.say(self.rng.choice(topic.templates), self.names, self.grammar)
        form = Form.QUESTION if text.startswith(_QUESTION_WORDS) else Form.COMMAND
        return _pair(self._spell(text, form), topic.reply)

    def _draw_follow_up(self) -> tuple[tuple[Message, ...], str]:
        """A command and a second turn that repeats, corrects, changes or reverses it."""
        while True:
            command = self._finish(make_polite(self._draw_draft(), self.rng))
            call = command.calls[0]
            has_target = "area" in call.arguments or "name" in call.arguments
            if call.name in REPEATABLE and len(command.calls) == 1 and has_target:
                break
        again = follow_up(call, self.names, self.slips)
        return (*_exchange(command), *_exchange(again)), again.calls[0].name

    def _draw_absent(self) -> tuple[Message, ...]:
        """A command to a room or device that the home in the system turn does not have."""
        assert isinstance(self.names, HomeNames)
        self.names.is_strange = True
        while True:
            self.names.has_strayed = False
            command = self._finish(make_polite(self._draw_draft(), self.rng))
            if self.names.has_strayed:
                self.names.is_strange = False
                return _unsure(command.text)

    def _draw_time_question(self) -> tuple[Message, ...]:
        intent = self.rng.choice(("HassGetCurrentTime", "HassGetCurrentDate"))
        pattern = self.rng.choice(self._patterns.get(intent) or self._patterns["HassTurnOn"])
        command = self._finish(draft_pattern(pattern, self.names))
        self._clock = tell_time(self.rng)
        reply = self._clock.time if intent == "HassGetCurrentTime" else self._clock.date
        return _pair(command.text, reply)

    def _draw_tool_result(self) -> tuple[Message, ...]:
        is_good = self.rng.random() < 0.7
        result = self.rng.choice(_GOOD_RESULTS if is_good else _BAD_RESULTS)
        reply = speech.DONE if is_good else speech.FAILED
        return (Message("tool", result), Message("assistant", reply, is_trained=True))

    def _draw_history(self) -> tuple[Message, ...]:
        if self.rng.random() >= 0.16:
            return ()
        # A few long histories teach distances up to the whole context window.
        count = self.rng.randint(4, 9) if self.rng.random() < 0.05 else self.rng.randint(1, 3)
        return tuple(m for _ in range(count) for m in self._draw_earlier_exchange())

    def _draw_earlier_exchange(self) -> tuple[Message, ...]:
        roll = self.rng.random()
        if roll < 0.15:
            # An answer by another model: read, not learned.
            question = self._draw_refused()[0][0]
            words = (self.names.common_word() for _ in range(self.rng.randint(3, 20)))
            return (question, Message("assistant", " ".join(words)))
        if roll < 0.3:
            return self._draw_refused()[0] if self.rng.random() < 0.5 else self._draw_small_talk()
        command = self.draw_command()
        if self.rng.random() < 0.3:
            reply = Message("assistant", "", tuple(command.calls))
            return (Message("user", command.text), reply, *self._draw_tool_result())
        return _exchange(command)

    def _describe_home(self, names: HomeNames) -> Message:
        count = self.rng.randint(12, 30) if self.rng.random() < 0.08 else self.rng.randint(1, 6)
        names.furnish(count)
        return Message("system", describe_home(names.home, self.rng))

    def _draw_system(self, kind: Kind, turns: tuple[Message, ...]) -> Message:
        prompt = self.rng.choice(SYSTEM_PROMPTS)
        asks_time = any(call.name in _TIME_INTENTS for turn in turns for call in turn.calls)
        if kind is Kind.TIME:
            prompt = f"{prompt} {self._clock.statement}"
        elif not asks_time and self.rng.random() < 0.3:
            prompt = f"{prompt} {tell_time(self.rng).statement}"
        return Message("system", prompt.strip())

    def _offer_tools(self, kind: Kind, turns: tuple[Message, ...], topic: str) -> Message:
        """A list of tools with those that are called, and others."""
        needed = {call.name for turn in turns for call in turn.calls}
        count = 41 if self.rng.random() < 0.04 else self.rng.randint(2, 9)
        others = set(self.rng.sample(list(INTENT_SLOTS), count))
        names = sorted((needed | others) - ({topic} if kind is Kind.UNOFFERED else set()))
        offered = [(name, INTENT_SLOTS[name]) for name in names]
        if self.rng.random() < 0.3:
            offered += self.rng.sample(FOREIGN_TOOLS, self.rng.randint(1, 2))
        self.rng.shuffle(offered)
        return Message("tools", render_tools(offered))


_QUESTION_WORDS = ("wh", "how", "is ", "are ", "do ", "does ", "did ", "can ", "could ", "will ")


def group_patterns(*, held_out: bool) -> dict[str, list[Pattern]]:
    """Patterns by intent, either those of training or those held out.

    The first pattern of an intent is always trained on, so every intent is in training.
    """
    groups: dict[str, list[Pattern]] = {intent: [] for intent in INTENT_SLOTS}
    for pattern in load_grammar().patterns:
        groups[pattern.intent].append(pattern)
    kept = {
        intent: [
            pattern
            for index, pattern in enumerate(group)
            if (index > 0 and is_held_out(pattern.template)) == held_out
        ]
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


def _unsure(text: str) -> tuple[Message, ...]:
    reply = Message("assistant", speech.UNSURE, is_trained=True, is_unsure=True)
    return (Message("user", text), reply)
