from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.prompt.calls.base import ParsedToolCall
from edge_llm.prompt.parse import (
    OutputParser,
    ReasoningDelta,
    Segment,
    TextDelta,
)
from edge_llm.prompt.spoken import spoken_summary

CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
F = ParsedToolCall("f", {"a": 1})


def parse(chunks: Iterable[str], *, thinking: bool = False) -> list[Segment]:
    """All segments, neighbouring deltas joined."""
    parser = OutputParser(starts_in_thinking=thinking)
    segments = [segment for chunk in chunks for segment in parser.add(chunk)] + parser.finish()
    joined: list[Segment] = []
    for segment in segments:
        last = joined[-1] if joined else None
        if isinstance(segment, TextDelta) and isinstance(last, TextDelta):
            joined[-1] = TextDelta(last.text + segment.text)
        elif isinstance(segment, ReasoningDelta) and isinstance(last, ReasoningDelta):
            joined[-1] = ReasoningDelta(last.text + segment.text)
        else:
            joined.append(segment)
    return joined


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there.\n", [TextDelta("Hello there.\n")]),
        ("  two spaces", [TextDelta("  two spaces")]),
        ("<think>\nhm\n</think>\n\nYes.", [ReasoningDelta("hm"), TextDelta("Yes.")]),
        ("\n<think>hm</think>Yes", [ReasoningDelta("hm"), TextDelta("Yes")]),
        ("<think>\n\n</think>\n\nYes.", [TextDelta("Yes.")]),
        ("<think>still", [ReasoningDelta("still")]),
        ("Say <think> to think", [TextDelta("Say <think> to think")]),
        ("a </think> b", [TextDelta("a </think> b")]),
        (CALL, [F]),
        (f"On it.\n\n{CALL}\n", [TextDelta("On it."), F]),
        (f"{CALL}\n{CALL}", [F, F]),
        (f"<think>x</think>\n{CALL}\nDone.", [ReasoningDelta("x"), F, TextDelta("Done.")]),
        (f"{CALL}<think>y</think>z", [F, ReasoningDelta("y"), TextDelta("z")]),
        (CALL.removesuffix("</tool_call>"), [F]),
        ('<tool_call>{"name": "f"}</tool_call>', [ParsedToolCall("f", {})]),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', [F]),
        ('<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>', [F]),
        (
            '<tool_call>{"name": "f", "arguments": {"t": "</tool_call> \\""}}</tool_call>!',
            [ParsedToolCall("f", {"t": '</tool_call> "'}), TextDelta("!")],
        ),
        ("<|tool_call_start|>[f(a=1), f(a=1)]<|tool_call_end|>Done.", [F, F, TextDelta("Done.")]),
        ("<|tool_call_start|>f(a=1)<|tool_call_end|>", [F]),
        (
            '<|tool_call_start|>[g.h(t="</tool_call>\\"", u=[-1.5, true, None])]<|tool_call_end|>',
            [ParsedToolCall("g.h", {"t": '</tool_call>"', "u": [-1.5, True, None]})],
        ),
        ("a < b <tool and <tool_cal", [TextDelta("a < b <tool and <tool_cal")]),
    ],
)
def test_an_answer_is_split_into_its_parts(text: str, expected: list[Segment]) -> None:
    assert parse([text]) == expected
    assert parse(text) == expected


@pytest.mark.parametrize(
    "body",
    ["{", "[1]", '{"arguments": {}}', '{"name": ""}', '{"name": "f", "arguments": [1]}', "NaN",
     '{"name": "f", "arguments": {"a": NaN}}', "[" * 100_000, "",
     '{"name": "f", "arguments": "x"}'],
)  # fmt: skip
def test_a_call_that_is_none_comes_back_as_text(body: str) -> None:
    raw = f"<tool_call>{body}</tool_call>"

    assert parse([raw + " and more"]) == [TextDelta(raw + " and more")]
    assert parse([f"<tool_call>{body}"]) == [TextDelta(f"<tool_call>{body}")]


@pytest.mark.parametrize(
    "body",
    ["", "[", "f", "f(1)", "[f(a=1), 2]", "f(**{})", "f(a=g())", "f(a=1, a=2)",
     "f(a=__import__('os'))",
     "f(a=b'x')", "f(a=1e999)", "f(a={1: 2})", "f()()", "(" * 100_000, "f(a='\0')", "f(a=1j)",
     "f(a=" + "9" * 5000 + ")", "import os"],
)  # fmt: skip
def test_what_is_no_python_call_stays_text(body: str) -> None:
    """Nothing is evaluated, and nothing hostile ends the process."""
    text = f"<|tool_call_start|>{body}<|tool_call_end|>"

    assert parse([text]) == [TextDelta(text)]


def test_an_answer_may_start_in_the_middle_of_a_thought() -> None:
    assert parse(["hm\n</think>\n\nYes"], thinking=True) == [ReasoningDelta("hm"), TextDelta("Yes")]
    assert parse(["<think>\nhm</think>Yes"], thinking=True) == [
        ReasoningDelta("hm"),
        TextDelta("Yes"),
    ]


pieces = st.sampled_from(
    ["<think>", "</think>", "<tool_call>", "</tool_call>", CALL, "<", "</", "think>", "tool_call>",
     " ", "\n", "a", "é", '{"name": "f"}', '"', "\\", "}"]
)  # fmt: skip


@given(st.lists(pieces, max_size=10).map("".join), st.data(), st.booleans())
def test_chunks_make_no_difference(text: str, data: st.DataObject, thinking: bool) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text))))
    borders = [0, *sorted(cuts), len(text)]
    chunks = [text[a:b] for a, b in itertools.pairwise(borders)]

    assert parse(chunks, thinking=thinking) == parse([text], thinking=thinking)
    assert parse(text, thinking=thinking) == parse([text], thinking=thinking)


def test_only_what_may_become_a_marker_is_held_back() -> None:
    parser = OutputParser()

    assert parser.add("Hello <") == [TextDelta("Hello")]
    assert parser.add("b> and") == [TextDelta(" <b> and")]
    assert parser.add(" <tool_c") == []
    assert parser.add("ake>") == [TextDelta(" <tool_cake>")]


def test_a_call_is_given_as_soon_as_it_is_closed() -> None:
    parser = OutputParser()

    assert parser.add(CALL[:-1]) == []
    assert parser.add(CALL[-1]) == [F]


@pytest.mark.parametrize(
    ("name", "arguments", "spoken"),
    [
        ("HassTurnOn", {"area": "kitchen", "domain": ["light"]}, "Turn on: kitchen, light."),
        ("get_weather", {"city": "New York", "days": 3}, "Get weather: New York, 3."),
        ("lamp.setLEDColor", {"rgb": [1, 2.5], "on": True}, "Lamp set led color: 1 and 2.5, yes."),
        ("hass", {}, "Hass."),
        ("HassNevermind", {"x": None, "y": {"z": "living_room"}}, "Nevermind: living room."),
        ("größe", {}, "Größe."),
        ("___", {}, "Done."),
    ],
)  # fmt: skip
def test_a_call_can_be_spoken(name: str, arguments: dict[str, object], spoken: str) -> None:
    assert spoken_summary([ParsedToolCall(name, arguments)]) == spoken


def test_several_calls_are_spoken_in_turn() -> None:
    assert spoken_summary([F, F]) == "F: 1. F: 1."
