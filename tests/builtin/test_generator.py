from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from scripts.builtin.chat import Message, parse_answer, render_body, render_prompt, split_trained
from scripts.builtin.generator import Conversation, Generator, Kind, Source, group_patterns
from scripts.builtin.intents import INTENT_SLOTS, SlotType, ToolCall, find_faults, slot_type
from scripts.builtin.numerals import spell
from scripts.builtin.patterns import all_patterns
from scripts.builtin.speech import REFUSAL, say_calls
from scripts.builtin.templates import SlotRef, expand
from scripts.builtin.words import Names

NUM_DRAWN = 1500
SOURCES = (Source(), Source(unseen_names=True, bare=True), Source(held_out_patterns=True))


def draw(source: Source, count: int = NUM_DRAWN) -> Iterator[Conversation]:
    return itertools.islice(Generator("tests", source), count)


def replies(conversation: Conversation) -> list[tuple[Message, Message]]:
    """Every user turn with the assistant turn after it."""
    pairs = itertools.pairwise(conversation.messages)
    return [(a, b) for a, b in pairs if a.role == "user" and b.role == "assistant"]


def test_one_seed_gives_the_same_conversations() -> None:
    first = list(itertools.islice(Generator(7), 200))

    assert first == list(itertools.islice(Generator(7), 200))
    assert first != list(itertools.islice(Generator(8), 200))


@pytest.mark.parametrize("source", SOURCES)
def test_every_call_is_a_known_intent_with_typed_slots(source: Source) -> None:
    calls = [call for c in draw(source) for m in c.messages for call in m.calls]

    assert [fault for call in calls for fault in find_faults(call)] == []


def test_every_intent_occurs_in_training() -> None:
    calls = [call for c in draw(Source(), 8000) for m in c.messages for call in m.calls]

    assert {call.name for call in calls} == set(INTENT_SLOTS)
    assert len(INTENT_SLOTS) == 41


@pytest.mark.parametrize("source", SOURCES)
def test_text_slots_repeat_what_was_typed(source: Source) -> None:
    for conversation in draw(source):
        if conversation.kind is Kind.FOLLOW_UP:
            continue  # the second turn takes slots from the first
        for user, reply in replies(conversation):
            for call in reply.calls:
                for slot, value in call.arguments.items():
                    if slot_type(call.name, slot) is SlotType.TEXT:
                        assert str(value) in user.content


@pytest.mark.parametrize("source", SOURCES)
def test_every_turn_to_be_learned_can_be_spoken(source: Source) -> None:
    turns = [m for c in draw(source) for m in c.messages if m.is_trained]

    assert all(turn.content.strip() for turn in turns)
    assert all("<" not in turn.content for turn in turns)


def test_a_quarter_of_the_sentences_is_refused_in_the_same_words() -> None:
    refused = [c for c in draw(Source()) if c.kind is Kind.REFUSED]

    assert 0.2 < len(refused) / NUM_DRAWN < 0.3
    assert {c.messages[-1].content for c in refused} == {REFUSAL}
    assert not any(c.messages[-1].calls for c in refused)


def test_held_out_patterns_are_a_tenth_and_not_trained_on() -> None:
    trained = {p for group in group_patterns(held_out=False).values() for p in group}
    held_out = {p for group in group_patterns(held_out=True).values() for p in group}

    assert trained.isdisjoint(held_out)
    assert len(trained) + len(held_out) == len(set(all_patterns()))
    assert 0.05 < len(held_out) / len(trained) < 0.15


def test_unseen_names_are_made_of_other_syllables() -> None:
    seen = Names(random.Random(1))
    unseen = Names(random.Random(1), unseen=True)

    assert {seen.word() for _ in range(2000)}.isdisjoint({unseen.word() for _ in range(2000)})


def test_an_answer_is_parsed_back_to_its_calls_and_words() -> None:
    for conversation in draw(Source(), 500):
        last = conversation.messages[-1]
        assert parse_answer(render_body(last)) == (list(last.calls), last.content)


def test_a_broken_call_is_an_error() -> None:
    with pytest.raises(ValueError, match="not closed"):
        parse_answer('<tool_call>{"name": "HassTurnOn"')


def test_a_conversation_is_rendered_in_chatml() -> None:
    call = ToolCall("HassTurnOn", {"domain": "light", "area": "kitchen"})
    messages = (Message("user", "lights on"), Message("assistant", "Done.", (call,)))

    assert render_prompt(messages) == (
        "<|im_start|>user\nlights on<|im_end|>\n"
        '<|im_start|>assistant\n<tool_call>{"name": "HassTurnOn", "arguments": '
        '{"area": "kitchen", "domain": "light"}}</tool_call>Done.<|im_end|>\n'
        "<|im_start|>assistant\n"
    )


def test_only_answers_are_learned() -> None:
    messages = (Message("user", "hi"), Message("assistant", "Hello!", is_trained=True))

    learned = [segment.text for segment in split_trained(messages) if segment.is_trained]

    assert learned == ["Hello!<|im_end|>"]


def test_several_calls_are_said_in_one_sentence() -> None:
    calls = [
        ToolCall("HassTurnOn", {"area": "kitchen", "domain": "light"}),
        ToolCall("HassClimateSetTemperature", {"area": "bedroom", "temperature": 21}),
    ]

    assert say_calls(calls) == (
        "Turning on the kitchen lights and setting the bedroom to 21 degrees."
    )


def test_a_template_has_choices_options_macros_and_slots() -> None:
    rng = random.Random(0)
    readings = {tuple(expand("(a|b)[c] <m>{area:x}", rng, {"m": "d"})) for _ in range(100)}

    slot = SlotRef("area", "x")
    assert readings == {(text, slot) for text in ("a d", "b d", "ac d", "bc d")}


def test_a_bracket_that_is_not_closed_is_an_error() -> None:
    with pytest.raises(ValueError, match="not closed"):
        expand("turn (on", random.Random(0), {})


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (21, "twenty one"), (100, "one hundred"), (305, "three hundred five")],
)
def test_numbers_are_spelled(number: int, words: str) -> None:
    assert spell(number) == words


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (ToolCall("HassFly", {}), "unknown intent 'HassFly'"),
        (ToolCall("HassTurnOn", {"colour": "red"}), "HassTurnOn has no slot 'colour'"),
        (
            ToolCall("HassSetVolume", {"volume_level": 101}),
            "HassSetVolume.volume_level cannot be 101",
        ),
        (ToolCall("HassBroadcast", {}), "HassBroadcast lacks 'message'"),
    ],
)
def test_a_call_outside_the_table_is_reported(call: ToolCall, fault: str) -> None:
    assert find_faults(call) == [fault]
