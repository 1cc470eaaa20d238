"""The chat format: what is rendered, by Python and by the template, and what is read back."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest

from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.messages import normalize_messages
from scripts.builtin.chat import (
    CHAT_TEMPLATE,
    END,
    END_OF_TEXT,
    Answer,
    Message,
    parse_answer,
    render_body,
    render_prompt,
    split_trained,
)
from scripts.builtin.conversations import Source
from scripts.builtin.evaluate import to_asked
from scripts.builtin.generator import Generator
from scripts.builtin.intents import ToolCall

SOURCES = (Source(), Source(has_home=True), Source(slips=0.2, unseen_names=True))


@pytest.mark.parametrize("source", SOURCES)
def test_the_template_renders_what_training_rendered(source: Source) -> None:
    template = ChatTemplate(CHAT_TEMPLATE, bos_token=END_OF_TEXT, eos_token=END)
    for conversation in itertools.islice(Generator("chat", source), 150):
        asked = to_asked(conversation)
        # An application sends no control token back with an answer of before.
        before = tuple(dataclasses.replace(m, is_unsure=False) for m in conversation.messages[:-1])

        rendered = template.render(normalize_messages(asked.messages), asked.tools)

        assert rendered == render_prompt(before)


def test_the_template_has_been_given_calls_and_tools() -> None:
    drawn = list(itertools.islice(Generator("chat"), 300))

    assert any(to_asked(c).tools for c in drawn)
    assert any("tool_calls" in m for c in drawn for m in to_asked(c).messages)


@pytest.mark.parametrize("source", SOURCES)
def test_an_answer_is_parsed_back_to_its_calls_and_words(source: Source) -> None:
    for conversation in itertools.islice(Generator("chat", source), 300):
        last = conversation.messages[-1]
        expected = Answer(list(last.calls), last.content, last.is_unsure)
        assert parse_answer(render_body(last)) == expected


@pytest.mark.parametrize(
    "text", ["<|tool_call_start|>[Stop()", "<|tool_call_start|>[Stop(1)]<|tool_call_end|>"]
)
def test_a_broken_call_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"call"):
        parse_answer(text)


def test_a_conversation_is_rendered_turn_by_turn() -> None:
    call = ToolCall("HassTurnOn", {"domain": "light", "area": "kitchen"})
    messages = (Message("user", "lights on"), Message("assistant", "Done.", (call,)))

    assert render_prompt(messages) == (
        "<|user|>lights on<|end|>"
        '<|assistant|><|tool_call_start|>[HassTurnOn(area="kitchen",domain="light")]'
        "<|tool_call_end|>Done.<|end|>"
        "<|assistant|>"
    )


def test_only_answers_are_learned() -> None:
    messages = (
        Message("user", "hi"),
        Message("assistant", "Hm.", is_trained=True, is_unsure=True),
    )

    learned = [segment.text for segment in split_trained(messages) if segment.is_trained]

    assert learned == ["<|unsure|>Hm.<|end|>"]


def test_the_pieces_that_are_learned_make_up_the_whole_text() -> None:
    rng = random.Random(0)
    for conversation in rng.sample(list(itertools.islice(Generator("chat"), 100)), 20):
        segments = split_trained(conversation.messages)
        whole = render_prompt(conversation.messages).removesuffix("<|assistant|>")

        assert "".join(segment.text for segment in segments) == whole
