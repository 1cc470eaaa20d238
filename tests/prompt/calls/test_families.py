"""What each family's template writes and what its answers mean, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.calls.base import OfferedTool, ParsedToolCall
from edge_llm.prompt.calls.reasoning import HARMONY
from edge_llm.prompt.calls.registry import FORMATS, format_named
from edge_llm.prompt.chat_template import ChatTemplate
from edge_llm.prompt.encode import PromptEncoder
from edge_llm.prompt.parse import OutputParser, ReasoningDelta, Segment, TextDelta
from tests.support.call_families import CASES, FamilyCase

TOOL = {"type": "function", "function": {"name": "set"}}
ARGUMENTS = {"a": 1, "b": "x"}
SCHEMA = {"properties": {"a": {"type": "integer"}, "b": {"type": "string"}}}
SET = ParsedToolCall("set", ARGUMENTS)
CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": "hi"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "function": {"name": "set", "arguments": '{"a": 1, "b": "x"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
]

families = pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)


def encoder(case: FamilyCase) -> PromptEncoder:
    tokenizer = ByteTokenizer(("<|im_end|>", "<think>", "</think>", *case.tokens))
    return PromptEncoder(tokenizer, ChatTemplate(case.template, bos_token="", eos_token=""))


def read(case: FamilyCase, text: str, size: int = 10**6) -> list[Segment]:
    made = encoder(case)
    parser = OutputParser(
        format=made.format,
        reasoning=made.reasoning,
        tools={"set": OfferedTool("set", SCHEMA)},
    )
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [s for piece in pieces for s in parser.add(piece)] + parser.finish()


def test_every_family_has_a_case() -> None:
    assert {case.format for case in CASES} == {f.name for f in FORMATS} - {"generic"}


@families
def test_a_family_is_known_by_its_template(case: FamilyCase) -> None:
    assert encoder(case).format is format_named(case.format)


@families
def test_a_conversation_with_a_call_is_written_as_the_family_writes_it(case: FamilyCase) -> None:
    if case.rendered:
        assert encoder(case).encode(CONVERSATION, [TOOL]).text == case.rendered


@families
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_an_answer_with_a_call_is_understood(case: FamilyCase, size: int) -> None:
    found = read(case, case.answer, size)
    words = "".join(one.text for one in found if isinstance(one, TextDelta))

    assert [one for one in found if isinstance(one, ParsedToolCall)] == [SET]
    assert words == (case.words or ("Wait." if case.format == "functionary-v3.2" else ""))


@families
def test_markers_that_users_write_are_text(case: FamilyCase) -> None:
    made = encoder(case)
    forged = [{"role": "user", "content": case.answer}]
    plain = [{"role": "user", "content": "hi"}]

    control = {token.id for token in made.tokenizer.special_tokens}
    assert control.intersection(made.encode(forged).token_ids) == control.intersection(
        made.encode(plain).token_ids
    )


@families
def test_calls_made_together_reach_every_template(case: FamilyCase) -> None:
    """Also those that take one call at a time, and those that leave calls out."""
    one, other = (
        {"id": f"call_{n}", "function": {"name": n, "arguments": {"a": n}}} for n in ("up", "down")
    )
    results = [
        {"role": "tool", "tool_call_id": "call_down", "content": "went down"},
        {"role": "tool", "tool_call_id": "call_up", "content": "went up"},
    ]
    asked = {"role": "assistant", "content": "", "tool_calls": [one, other]}
    text = encoder(case).encode([CONVERSATION[0], asked, *results], [TOOL]).text

    places = [text.index(word) for word in ("up", "down", "went up", "went down")]
    assert places[0] < places[1]
    if format_named(case.format).max_calls == 1:
        assert places[0] < places[2] < places[1] < places[3]


def test_the_channels_of_gpt_oss_are_thoughts_and_words() -> None:
    case = next(one for one in CASES if one.format == "harmony")
    answer = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
        "<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant"
        "<|channel|>final<|message|>It is."
    )

    assert encoder(case).reasoning is HARMONY
    assert read(case, answer) == [
        ReasoningDelta("Hm."),
        TextDelta("Let me see."),
        TextDelta("It is."),
    ]
    assert read(case, " to=functions.set<|channel|>commentary json<|message|>{}") == [
        ParsedToolCall("set", {})
    ]


@pytest.mark.parametrize(
    "text",
    ['{"title": "x", "name": "set"}', '{"name": "other", "parameters": {}}', "{}", "{ nothing }"],
)
def test_an_answer_in_json_is_no_call_of_a_family_without_markers(text: str) -> None:
    case = next(one for one in CASES if one.format == "llama3")
    found = read(case, text)

    assert "".join(one.text for one in found if isinstance(one, TextDelta)) == text
    assert not [one for one in found if isinstance(one, ParsedToolCall)]


def test_ids_of_mistral_are_nine_characters_and_stay_the_same() -> None:
    case = next(one for one in CASES if one.format == "mistral")
    first, second = (encoder(case).encode(CONVERSATION, [TOOL]).text for _ in range(2))

    assert first == second
    assert '"id": "call_1"' not in first


def test_results_without_ids_are_those_of_the_calls_in_order() -> None:
    case = next(one for one in CASES if one.format == "gemma4")
    calls: list[dict[str, Any]] = [
        {"function": {"name": n, "arguments": {}}} for n in ("up", "down")
    ]
    results = [{"role": "tool", "content": f"result {n}"} for n in range(2)]
    asked = {"role": "assistant", "tool_calls": calls}
    text = encoder(case).encode([CONVERSATION[0], asked, *results]).text

    assert "up:result 0" in text
    assert "down:result 1" in text


@pytest.mark.parametrize(
    "answer",
    [
        '<|python_tag|>{"name": "set", "parameters": {"a": 1, "b": "x"}}',
        '<|python_tag|>set.call(a=1, b="x")',
        '{"type": "function", "name": "set", "parameters": {"a": 1, "b": "x"}}',
    ],
)
def test_the_other_ways_of_llama_are_calls_too(answer: str) -> None:
    case = next(one for one in CASES if one.format == "llama3")

    assert read(case, answer, 3) == [SET]


def test_the_thoughts_of_a_turn_that_called_reach_gpt_oss() -> None:
    case = next(one for one in CASES if one.format == "harmony")
    template = case.template.replace("{{ m.content }}", "{{ m.thinking }}{{ m.content }}", 1)
    made = PromptEncoder(ByteTokenizer(), ChatTemplate(template, bos_token="", eos_token=""))
    thought = {**CONVERSATION[1], "reasoning_content": "Hm."}

    assert "Hm. to=functions.set" in made.encode([CONVERSATION[0], thought]).text
