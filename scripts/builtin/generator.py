"""Conversations to train and test on, made from a grammar, names and a seed.

The same `Source` and seed give the same conversations. Training draws from the lines of the grammar
that are not held out; the tests draw from those, from unseen names, or from held-out lines.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from scripts.builtin import out_of_scope, speech
from scripts.builtin.chat import Message, render_body, render_tools
from scripts.builtin.conversations import Conversation, Kind, Source
from scripts.builtin.domain import Domain, load_domain
from scripts.builtin.follow_ups import REPEATABLE, follow_up
from scripts.builtin.grammar import Form, Pattern, is_held_out
from scripts.builtin.homes import HomeNames, describe_home
from scripts.builtin.prompts import FOREIGN_TOOLS, tell_time
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


class Mix(NamedTuple):
    """What is drawn how often."""

    kinds: Mapping[Kind, float]
    num_commands: tuple[float, float, float]
    """Weights of sentences with one, two and three commands."""


FIRST_MIX = Mix(
    {
        Kind.COMMAND: 46,
        Kind.REFUSED: 36,
        Kind.FOLLOW_UP: 7,
        Kind.SMALL_TALK: 5,
        Kind.ABSENT: 2.5,
        Kind.UNOFFERED: 1,
        Kind.TOOL_RESULT: 1.5,
        Kind.TIME: 1,
    },
    (64, 26, 10),
)
LAST_MIX = Mix(
    {
        Kind.COMMAND: 42,
        Kind.REFUSED: 31,
        Kind.FOLLOW_UP: 7,
        Kind.SMALL_TALK: 4,
        Kind.ABSENT: 8,
        Kind.UNOFFERED: 5,
        Kind.TOOL_RESULT: 1,
        Kind.TIME: 2,
    },
    (50, 32, 18),
)
"""More of what is learned last: several commands, and what this home or these tools lack."""
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
_TOLD = ("time", "date")


class Generator:
    """Draws conversations of a domain, the home if none is given, from one source and one seed."""

    def __init__(
        self,
        seed: int | str,
        source: Source | None = None,
        domain: Domain | None = None,
        mix: Mix = FIRST_MIX,
    ) -> None:
        """Raises ValueError where the domain has no texts for what `source` asks for."""
        self.source = source or Source()
        self.domain = domain or load_domain()
        self.mix = mix
        self.rng = random.Random(f"{seed}/{self.source}")
        self.names = Names(self.rng, self.domain, unseen=self.source.unseen_names)
        self.slips = 0.0
        self._patterns = group_patterns(self.domain, held_out=self.source.held_out)
        self._weights = [self.domain.intents[intent].weight for intent in self._patterns]
        self._refused = {
            kind: lines
            for kind, templates in self.domain.grammar.refused.items()
            if (lines := _split(templates, held_out=self.source.held_out))
        }
        self._telling = [
            name
            for told in _TOLD
            for name in self._patterns
            if self.domain.intents[name].tells == told
        ]
        self._can_join = any(
            pattern.form is Form.COMMAND for group in self._patterns.values() for pattern in group
        )
        self.kinds = [kind for kind in mix.kinds if self._can_draw(kind)]
        """What the domain has texts for."""
        wanted = self.source.kinds or (() if self.kinds else (Kind.COMMAND,))
        missing = [kind.value for kind in wanted if kind not in self.kinds]
        if self.source.has_home and not self.domain.lexicon.has_homes:
            missing.append("listed home")
        if missing:
            raise ValueError(f"{self.domain.about.name} has no texts for: {', '.join(missing)}")

    def __iter__(self) -> Iterator[Conversation]:
        """Conversations without end."""
        while True:
            yield self.draw()

    def draw(self) -> Conversation:
        """The next conversation."""
        kind = self._draw_kind()
        has_home = self._draw_has_home(kind)
        make_names = HomeNames if has_home else Names
        self.names = make_names(self.rng, self.domain, unseen=self.source.unseen_names)
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
        if drafts[0].form is not Form.QUESTION and self._can_join:
            count = (
                self.source.num_commands or self.rng.choices((1, 2, 3), self.mix.num_commands)[0]
            )
            drafts += [self._draw_draft(joinable=True) for _ in range(count - 1)]
        draft = join_drafts(drafts, self.rng) if len(drafts) > 1 else drafts[0]
        return self._finish(make_polite(draft, self.rng))

    def _can_draw(self, kind: Kind) -> bool:
        lexicon, grammar = self.domain.lexicon, self.domain.grammar
        if kind is Kind.REFUSED:
            return bool(self._refused)
        if kind is Kind.SMALL_TALK:
            return bool(grammar.small_talk)
        if kind is Kind.FOLLOW_UP:
            return lexicon.has_homes and not REPEATABLE.isdisjoint(self._patterns)
        if kind is Kind.ABSENT:
            return lexicon.has_homes
        if kind is Kind.TIME:
            return bool(self._telling)
        if kind is Kind.UNOFFERED and len(self.domain.intents) < 2:
            return False
        return bool(self._patterns)

    def _draw_kind(self) -> Kind:
        weights = {kind: self.mix.kinds[kind] for kind in self.kinds}
        if self.source.bare:
            weights = {k: w for k, w in weights.items() if k in _HOME_KINDS - {Kind.FOLLOW_UP}}
        if self.source.kinds:
            weights = {kind: self.mix.kinds[kind] for kind in self.source.kinds}
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def _draw_has_home(self, kind: Kind) -> bool:
        if kind is Kind.ABSENT:
            return True
        if self.source.has_home is not None:
            return self.source.has_home
        if self.source.bare or not self.domain.lexicon.has_homes:
            return False
        return kind in _HOME_KINDS and self.rng.random() < 0.22

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
        turns = self._exchange(command)
        return (*turns, *self._draw_tool_result()) if kind is Kind.TOOL_RESULT else turns, topic

    def _draw_draft(self, *, joinable: bool = False) -> Draft:
        while True:
            pattern = self._draw_pattern()
            if not joinable or pattern.form is Form.COMMAND or not self._can_join:
                return draft_pattern(pattern, self.names)

    def _draw_pattern(self) -> Pattern:
        intent = self.rng.choices(list(self._patterns), self._weights)[0]
        return self.rng.choice(self._patterns[intent])

    def _exchange(self, command: Command) -> tuple[Message, ...]:
        calls = tuple(command.calls)
        words = speech.say_calls(calls, self.domain.replies)
        reply = Message("assistant", words, calls, is_trained=True)
        return (Message("user", command.text), reply)

    def _finish(self, draft: Draft) -> Command:
        return finish(draft, self.rng, slips=self.slips, listed=self.names.listed)

    def _spell(self, text: str, form: Form) -> str:
        return self._finish(Draft([Piece(text)], [], form)).text

    def _draw_refused(self) -> tuple[tuple[Message, ...], str]:
        kinds = list(self._refused)
        # By the root of its lines: a kind with many is seen more, a kind with few is not lost.
        weights = [len(lines) ** 0.5 for lines in self._refused.values()]
        kind = self.rng.choices(kinds, weights)[0]
        text = out_of_scope.say(self.rng.choice(self._refused[kind]), self.names)
        form = Form.QUESTION if text.startswith(_QUESTION_WORDS) else Form.COMMAND
        return _unsure(self._spell(text, form)), kind

    def _draw_small_talk(self) -> tuple[Message, ...]:
        topic = self.rng.choice(self.domain.grammar.small_talk)
        text = out_of_scope.say(self.rng.choice(topic.templates), self.names)
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
        return (*self._exchange(command), *self._exchange(again)), again.calls[0].name

    def _draw_absent(self) -> tuple[Message, ...]:
        """A command to a room or device that the home in the system turn does not have."""
        names = self.names
        if not isinstance(names, HomeNames):
            raise TypeError(f"nothing is absent from {names!r}, which lists no home")
        names.is_strange = True
        while True:
            names.has_strayed = False
            command = self._finish(make_polite(self._draw_draft(), self.rng))
            if names.has_strayed:
                names.is_strange = False
                return _unsure(command.text)

    def _draw_time_question(self) -> tuple[Message, ...]:
        intent = self.rng.choice(self._telling)
        pattern = self.rng.choice(self._patterns[intent])
        command = self._finish(draft_pattern(pattern, self.names))
        self._clock = tell_time(self.rng)
        is_time = self.domain.intents[intent].tells == "time"
        reply = self._clock.time if is_time else self._clock.date
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
        roll = self.rng.random() if self._refused else 1.0
        if roll < 0.15:
            # An answer by another model: read, not learned.
            question = self._draw_refused()[0][0]
            words = (self.names.common_word() for _ in range(self.rng.randint(3, 20)))
            return (question, Message("assistant", " ".join(words)))
        if roll < 0.3:
            is_refused = self.rng.random() < 0.5 or not self.domain.grammar.small_talk
            return self._draw_refused()[0] if is_refused else self._draw_small_talk()
        command = self.draw_command()
        if self.rng.random() < 0.3:
            reply = Message("assistant", "", tuple(command.calls))
            return (Message("user", command.text), reply, *self._draw_tool_result())
        return self._exchange(command)

    def _describe_home(self, names: HomeNames) -> Message:
        count = self.rng.randint(12, 30) if self.rng.random() < 0.08 else self.rng.randint(1, 6)
        names.furnish(count)
        return Message("system", describe_home(names.home, self.rng))

    def _draw_system(self, kind: Kind, turns: tuple[Message, ...]) -> Message:
        prompt = self.rng.choice(("", *self.domain.grammar.prompts))
        intents = self.domain.intents
        asks_time = any(intents[call.name].tells for turn in turns for call in turn.calls)
        if kind is Kind.TIME:
            prompt = f"{prompt} {self._clock.statement}"
        elif not asks_time and self.rng.random() < 0.3:
            prompt = f"{prompt} {tell_time(self.rng).statement}"
        return Message("system", prompt.strip())

    def _offer_tools(self, kind: Kind, turns: tuple[Message, ...], topic: str) -> Message:
        """A list of tools with those that are called, and others."""
        needed = {call.name for turn in turns for call in turn.calls}
        known = self.domain.intents
        is_all = self.rng.random() < 0.04
        count = len(known) if is_all else self.rng.randint(min(2, len(known)), min(9, len(known)))
        others = set(self.rng.sample(list(known), count))
        names = sorted((needed | others) - ({topic} if kind is Kind.UNOFFERED else set()))
        offered: list[tuple[str, Iterable[str]]] = [(name, known[name].slots) for name in names]
        if self.rng.random() < 0.3:
            offered += self.rng.sample(FOREIGN_TOOLS, self.rng.randint(1, 2))
        self.rng.shuffle(offered)
        return Message("tools", render_tools(offered))


_QUESTION_WORDS = ("wh", "how", "is ", "are ", "do ", "does ", "did ", "can ", "could ", "will ")


def group_patterns(domain: Domain, *, held_out: bool) -> dict[str, list[Pattern]]:
    """Patterns by intent, either those of training or those held out.

    The first pattern of an intent is always trained on, so every intent is in training.
    """
    groups: dict[str, list[Pattern]] = {intent: [] for intent in domain.intents}
    for pattern in domain.grammar.patterns:
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


def fingerprint(seed: int | str, count: int = 4096, domain: Domain | None = None) -> str:
    """SHA-256 (hex) of the first `count` training conversations of `seed`, bare and in full."""
    digest = hashlib.sha256()
    for source in (Source(bare=True), Source()):
        for conversation in itertools.islice(Generator(seed, source, domain), count):
            for message in conversation.messages:
                digest.update(f"{message.role}\n{render_body(message)}\0".encode())
    return digest.hexdigest()


def _split(templates: tuple[str, ...], *, held_out: bool) -> list[str]:
    return [template for template in templates if is_held_out(template) == held_out]


def _pair(text: str, reply: str) -> tuple[Message, ...]:
    return (Message("user", text), Message("assistant", reply, is_trained=True))


def _unsure(text: str) -> tuple[Message, ...]:
    reply = Message("assistant", speech.UNSURE, is_trained=True, is_unsure=True)
    return (Message("user", text), reply)
