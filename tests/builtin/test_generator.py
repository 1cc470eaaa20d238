"""What every conversation that the generator draws must be, whatever its source."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from scripts.builtin import generator as generator_module
from scripts.builtin import out_of_scope, speech
from scripts.builtin.chat import UNSURE, Message, render_body
from scripts.builtin.conversations import Conversation, Kind, Source
from scripts.builtin.domain import load_domain
from scripts.builtin.generator import Generator, fingerprint, group_patterns
from scripts.builtin.grammar import Pattern, is_held_out
from scripts.builtin.homes import HomeNames
from scripts.builtin.sentences import Draft, draft_pattern
from scripts.builtin.words import Names

NUM_DRAWN = 400
SOURCES = {
    "training": Source(),
    "bare": Source(bare=True),
    "held out": Source(held_out=True),
    "unseen names": Source(unseen_names=True, bare=True),
    "slips": Source(slips=0.15),
    "listed home": Source(has_home=True),
    "three commands": Source(kinds=(Kind.COMMAND,), num_commands=3),
    "follow-ups": Source(kinds=(Kind.FOLLOW_UP,)),
}
each_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())


def draw(source: Source, count: int = NUM_DRAWN) -> Iterator[Conversation]:
    return itertools.islice(Generator("tests", source), count)


def test_one_seed_gives_the_same_conversations() -> None:
    first = list(itertools.islice(Generator(7), 100))

    assert first == list(itertools.islice(Generator(7), 100))
    assert first != list(itertools.islice(Generator(8), 100))


def test_the_fingerprint_is_that_of_what_is_drawn() -> None:
    assert fingerprint(3, 20) == fingerprint(3, 20)
    assert fingerprint(3, 20) != fingerprint(4, 20)
    assert fingerprint(3, 20) != fingerprint(3, 21)


@each_source
def test_every_call_is_a_known_intent_with_typed_slots(source: Source) -> None:
    calls = [call for c in draw(source) for m in c.messages for call in m.calls]

    assert calls
    assert [fault for call in calls for fault in load_domain().intents.find_faults(call)] == []


def test_every_intent_of_the_home_occurs_in_training() -> None:
    intents = load_domain().intents
    source = Source(bare=True, kinds=(Kind.COMMAND,))
    calls = [call for c in draw(source, 2500) for m in c.messages for call in m.calls]

    assert {call.name for call in calls} == set(intents)
    assert len(intents) == 41


@each_source
def test_a_copied_slot_repeats_what_was_typed_or_is_a_name_the_home_lists(source: Source) -> None:
    drawn = Generator("tests", source)
    for conversation in itertools.islice(drawn, NUM_DRAWN):
        listed = set(drawn.names.listed.values())
        typed = ""
        for message in conversation.messages:
            # A follow-up takes slots from the turn it follows.
            typed += f"\n{message.content}" if message.role == "user" else ""
            for value in copied_values(message):
                assert value in typed or value in listed


def copied_values(message: Message) -> Iterator[str]:
    intents = load_domain().intents
    for call in message.calls:
        for slot, value in call.arguments.items():
            kind = intents.slot_type(call.name, slot)
            if kind is not None and kind.is_copied:
                yield str(value)


def test_a_listed_home_has_its_own_spelling_of_what_was_typed() -> None:
    drawn = Generator("tests", Source(has_home=True, kinds=(Kind.COMMAND,), slips=0.0))
    respelled = 0
    for conversation in itertools.islice(drawn, NUM_DRAWN):
        *_, user, reply = conversation.messages
        respelled += sum(value not in user.content for value in copied_values(reply))

    assert respelled > NUM_DRAWN / 10


@each_source
def test_every_turn_to_be_learned_can_be_spoken(source: Source) -> None:
    turns = [m for c in draw(source) for m in c.messages if m.is_trained]

    assert turns
    assert all(turn.role == "assistant" for turn in turns)
    assert all(turn.content.strip() and "<|" not in turn.content for turn in turns)


def test_about_two_in_five_single_turns_are_out_of_scope_and_open_with_the_unsure_token() -> None:
    drawn = list(draw(Source(bare=True), 1000))
    refused = [c.messages[-1] for c in drawn if c.kind is Kind.REFUSED]
    others = [c.messages[-1] for c in drawn if c.kind is not Kind.REFUSED]

    assert 0.35 < len(refused) / len(drawn) < 0.5
    assert {render_body(m) for m in refused} == {UNSURE + speech.UNSURE}
    assert not any(render_body(m).startswith(UNSURE) for m in others)


@pytest.mark.parametrize("held_out", [False, True])
def test_draws_keep_to_their_side_of_the_split(
    held_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates: set[str] = set()

    def note_pattern(pattern: Pattern, names: Names) -> Draft:
        templates.add(pattern.template)
        return draft_pattern(pattern, names)

    say = out_of_scope.say

    def note_line(template: str, names: Names) -> str:
        if template not in small_talk:
            templates.add(template)
        return say(template, names)

    small_talk = {t for talk in load_domain().grammar.small_talk for t in talk.templates}
    monkeypatch.setattr(generator_module, "draft_pattern", note_pattern)
    monkeypatch.setattr(out_of_scope, "say", note_line)
    for _ in draw(Source(held_out=held_out), 1500):
        pass

    # The first pattern of an intent is always trained on, so that none is without.
    firsts = {group[0].template for group in group_patterns(load_domain(), held_out=False).values()}
    assert len(templates) > 500
    assert {is_held_out(template) for template in templates - firsts} == {held_out}


def test_a_tenth_of_the_patterns_is_held_out() -> None:
    trained = {p for g in group_patterns(load_domain(), held_out=False).values() for p in g}
    held_out = {p for g in group_patterns(load_domain(), held_out=True).values() for p in g}

    assert trained.isdisjoint(held_out)
    assert trained | held_out == set(load_domain().grammar.patterns)
    assert 0.07 < len(held_out) / len(trained) < 0.13


def test_unseen_names_are_made_of_other_syllables() -> None:
    seen, unseen = (Generator("tests", Source(unseen_names=flag)).names for flag in (False, True))

    assert {seen.word() for _ in range(2000)}.isdisjoint({unseen.word() for _ in range(2000)})


def test_what_is_absent_is_not_in_the_listed_home(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []
    device, area = HomeNames.device, HomeNames.area

    def note_device(names: HomeNames, kind: str) -> str:
        named.append(device(names, kind))
        return named[-1]

    def note_area(names: HomeNames) -> str:
        named.append(area(names))
        return named[-1]

    monkeypatch.setattr(HomeNames, "device", note_device)
    monkeypatch.setattr(HomeNames, "area", note_area)
    drawn = Generator("tests", Source(kinds=(Kind.ABSENT,), slips=0.0))
    for conversation in itertools.islice(drawn, NUM_DRAWN):
        *_, user, reply = conversation.messages
        said = {name for name in named if name.lower() in user.content.lower()}
        assert said - set(drawn.names.listed), user.content
        assert reply.is_unsure
        named.clear()


@pytest.mark.parametrize("kind", [Kind.COMMAND, Kind.FOLLOW_UP, Kind.TOOL_RESULT, Kind.UNOFFERED])
def test_tools_offered_contain_what_is_called(kind: Kind) -> None:
    offers = 0
    for conversation in draw(Source(kinds=(kind,)), 500):
        if conversation.messages[0].role != "tools":
            continue
        offers += 1
        offered = {line.partition("(")[0] for line in conversation.messages[0].content.splitlines()}
        called = {call.name for m in conversation.messages for call in m.calls}
        if kind is Kind.UNOFFERED:
            assert conversation.topic not in offered
            assert conversation.messages[-1].is_unsure
            called.discard(conversation.topic)
        assert called <= offered
    assert offers > 20


def test_a_time_told_in_the_prompt_is_the_answer() -> None:
    for conversation in draw(Source(kinds=(Kind.TIME,)), 50):
        told = next(m for m in conversation.messages if m.role == "system").content
        answer = conversation.messages[-1].content.removeprefix("It is ").removesuffix(".")

        assert answer in told
