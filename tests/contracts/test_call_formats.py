"""What every family of tool calls keeps to: it reads what it writes, and so does its grammar."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_llm.constrain.calls.answer import CallRules, answer_grammar
from edge_llm.constrain.compile import GrammarCompiler
from edge_llm.constrain.matcher import Matcher
from edge_llm.errors import UnsupportedSchemaError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.calls.base import CallFormat, OfferedTool, ParsedToolCall
from edge_llm.prompt.calls.clause_layout import ClauseLayout
from edge_llm.prompt.calls.reasoning import HARMONY, THINK
from edge_llm.prompt.calls.registry import FORMATS, format_named
from edge_llm.prompt.calls.tag_layout import TagLayout
from edge_llm.prompt.parse import (
    CallArguments,
    CallStart,
    OutputParser,
    ReasoningDelta,
    Segment,
    TextDelta,
)
from tests.support.schema_oracle import faults

formats = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)

SET = OfferedTool(
    "set_light",
    {
        "type": "object",
        "properties": {
            "area": {"enum": ["kitchen", "living room", "größe"]},
            "level": {"type": "integer", "minimum": 0, "maximum": 100},
            "note": {"type": "string"},
            "on": {"type": "boolean"},
            "rgb": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
            "scene": {
                "type": "object",
                "properties": {"name": {"type": "string", "maxLength": 9}},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
        "required": ["area", "level"],
    },
)
NOW = OfferedTool("get_time", {"type": "object", "properties": {}})
TOOLS = {tool.name: tool for tool in (SET, NOW)}

values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)


def tokenizer(format: CallFormat) -> ByteTokenizer:
    thoughts = (THINK.open, THINK.close, "<|channel|>", "<|message|>", "<|start|>", "<|end|>")
    return ByteTokenizer(tuple(dict.fromkeys(("<|im_end|>", *format.markers, *thoughts))))


def matcher(format: CallFormat, rules: CallRules) -> Matcher:
    reasoning = HARMONY if format.name == "harmony" else THINK
    grammar = answer_grammar(format, rules, reasoning=reasoning)
    return GrammarCompiler(tokenizer(format)).compile(grammar).start()


def token_ids(format: CallFormat, text: str) -> list[int]:
    special = sorted(tokenizer(format).special_tokens, key=lambda one: -len(one.text))
    ids: list[int] = []
    while text:
        found = next((one for one in special if text.startswith(one.text)), None)
        ids += [found.id] if found else text[0].encode()
        text = text[len(found.text) if found else 1 :]
    return ids


def accepts(format: CallFormat, rules: CallRules, text: str) -> bool:
    state = matcher(format, rules)
    return all(map(state.accept, token_ids(format, text))) and state.fits


def written(format: CallFormat, *calls: ParsedToolCall) -> str:
    """As a grammar lets the model write it after its prompt."""
    return format.layout.write(calls, is_compact=True).removeprefix(format.prompt_ends_with)


def read(
    format: CallFormat,
    text: str,
    *,
    is_live: bool = False,
    size: int = 9,
    tools: Mapping[str, OfferedTool] = TOOLS,
) -> list[Segment]:
    reasoning = HARMONY if format.name == "harmony" else THINK
    parser = OutputParser(format=format, reasoning=reasoning, tools=tools, is_live=is_live)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [s for piece in pieces for s in parser.add(piece)] + parser.finish()


def calls_in(segments: list[Segment]) -> list[ParsedToolCall]:
    return [one for one in segments if isinstance(one, ParsedToolCall)]


def representable(format: CallFormat, value: Any) -> bool:
    """Some notations have no escape: what closes a text cannot stand in it."""
    layout = format.layout
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(layout, ClauseLayout):
        return layout.quote not in text and not has_odd_keys(value)
    if isinstance(layout, TagLayout):
        return layout.value_end.strip() not in text
    return True


def has_odd_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return any(not k.isidentifier() or has_odd_keys(v) for k, v in value.items())
    return isinstance(value, list) and any(map(has_odd_keys, value))


@formats
@settings(max_examples=25, deadline=None)
@given(arguments=st.dictionaries(keys, values, max_size=4), size=st.integers(1, 40))
def test_what_a_family_writes_it_reads_whatever_the_arguments(
    format: CallFormat, arguments: dict[str, Any], size: int
) -> None:
    if not representable(format, arguments):
        return
    if isinstance(format.layout, TagLayout):
        # Without a type in the schema, text that looks like JSON is taken for it.
        arguments = {k: v for k, v in arguments.items() if not isinstance(v, str)}
    call = ParsedToolCall("set_light", arguments)
    text = format.layout.write([call]).removeprefix(format.prompt_ends_with)

    assert read(format, text, size=size) == [call]


def joined(segments: list[Segment]) -> list[Segment]:
    """Neighbouring pieces of one kind as one."""
    found: list[Segment] = []
    for one in segments:
        last = found[-1] if found else None
        if isinstance(one, TextDelta) and isinstance(last, TextDelta):
            found[-1] = TextDelta(last.text + one.text)
        elif isinstance(one, ReasoningDelta) and isinstance(last, ReasoningDelta):
            found[-1] = ReasoningDelta(last.text + one.text)
        else:
            found.append(one)
    return found


@formats
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_where_an_answer_is_cut_makes_no_difference(format: CallFormat, data: Any) -> None:
    layout = format.layout
    call = written(format, ParsedToolCall("get_time", {}))
    marks = [*layout.opens, *format.silent, *format.markers, layout.close_after(layout.opens[0])]
    parts = [*marks, call, call[: len(call) // 2], THINK.open, THINK.close, "a", " ", "\n",
             '"', "{", "}", "get_time", "é", "("]  # fmt: skip
    text = "".join(data.draw(st.lists(st.sampled_from(parts), max_size=9)))
    size = data.draw(st.integers(1, 20))

    assert joined(read(format, text, size=size)) == joined(read(format, text, size=10**6))


NASTY = [
    "</tool_call>", "<tool_call>", '"}', "'", "\\", '\\"', "\n\n", "]", "[TOOL_CALLS]",
    "<|im_end|>", "</parameter_>",
    "`" * 3, "😀\u2028\x07", "<think>", "{" * 50, ">>>all\n", "é" * 500,
]  # fmt: skip


@formats
@pytest.mark.parametrize("note", NASTY, ids=range(len(NASTY)))
def test_markers_and_quotes_inside_a_text_belong_to_it(format: CallFormat, note: str) -> None:
    call = ParsedToolCall("set_light", {"area": "kitchen", "level": 1, "note": note})

    assert read(format, written(format, call)) == [call]


@formats
@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 60))
def test_pieces_of_a_call_make_up_the_whole_of_it(format: CallFormat, size: int) -> None:
    arguments = {"area": "living room", "level": 40, "note": 'a "b" \\ é', "rgb": [1, 2]}
    pieces = read(format, written(format, ParsedToolCall("set_light", arguments)), is_live=True,
                  size=size)  # fmt: skip

    assert pieces[0] == CallStart("set_light")
    told = "".join(one.text for one in pieces if isinstance(one, CallArguments))
    assert json.loads(told) == arguments
    assert pieces[-1] == ParsedToolCall("set_light", arguments)


@formats
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_the_grammar_lets_through_what_the_family_writes(format: CallFormat, choice: Any) -> None:
    arguments = {"area": "living room", "level": 40, "note": 'a "b" é', "on": True, "rgb": [1, 2],
                 "scene": {"name": "x"}}  # fmt: skip
    call, other = ParsedToolCall("set_light", arguments), ParsedToolCall("get_time", {})
    rules = CallRules(tuple(TOOLS.values()), choice)

    assert accepts(format, rules, written(format, call))
    assert accepts(format, rules, written(format, other))
    if format.max_calls != 1:
        assert accepts(format, rules, written(format, call, other))
        assert not accepts(
            format, CallRules(tuple(TOOLS.values()), choice, 1), written(format, call, other)
        )


ODD_NAMES = ["1st", "file-path", "a.b", "$filter", "@type", "class", "größe", "a/b"]


@formats
@pytest.mark.parametrize("name", [*ODD_NAMES, "a b", "a:b", "x>y", "a=b", 'say "hi"', ""])
def test_an_argument_with_an_odd_name_is_written_and_read_or_refused(
    format: CallFormat, name: str
) -> None:
    schema = {"type": "object", "properties": {name: {"enum": ["v"]}}, "required": [name]}
    tool = OfferedTool("1a.b-c", schema)
    rules = CallRules((tool,), "required")
    call = ParsedToolCall("1a.b-c", {name: "v"})
    refused_at: str | None = None
    try:
        state = matcher(format, rules)
    except UnsupportedSchemaError as error:
        refused_at = error.path
    if refused_at is not None:
        assert (name in ODD_NAMES, refused_at) == (False, f"#/properties/{name}")
        return

    assert all(map(state.accept, token_ids(format, written(format, call))))
    assert state.fits
    assert read(format, written(format, call), tools={tool.name: tool}) == [call]


@formats
def test_an_argument_that_cannot_be_spelt_is_left_out_if_it_may(format: CallFormat) -> None:
    schema = {"type": "object", "properties": {"a b": {"enum": ["v"]}, "c": {"enum": ["w"]}}}
    rules = CallRules((OfferedTool("set_light", schema),), "required")

    assert accepts(format, rules, written(format, ParsedToolCall("set_light", {"c": "w"})))


@formats
def test_a_strict_tool_that_no_grammar_keeps_to_is_refused(format: CallFormat) -> None:
    schema = {"type": "object", "properties": {"level": {"not": {"const": 1}}}}
    rules = CallRules((OfferedTool("set_light", schema, strict=True),), "required")

    with pytest.raises(UnsupportedSchemaError, match="#/properties/level/not"):
        matcher(format, rules)


@formats
@pytest.mark.parametrize(
    "call",
    [
        ParsedToolCall("open_door", {}),
        ParsedToolCall("set_light", {"area": "garden", "level": 1}),
        ParsedToolCall("set_light", {"area": "kitchen", "level": 101}),
        ParsedToolCall("set_light", {"area": "kitchen"}),
        ParsedToolCall("set_light", {"area": "kitchen", "level": 1, "volume": 2}),
        ParsedToolCall("set_light", {"area": "kitchen", "level": 1, "scene": {"x": 1}}),
    ],
    ids=["name", "enum", "bound", "missing", "unknown", "nested"],
)
def test_a_call_that_does_not_fit_cannot_be_written(
    format: CallFormat, call: ParsedToolCall
) -> None:
    rules = CallRules(tuple(TOOLS.values()), "required")

    assert not accepts(format, rules, written(format, call))


@formats
def test_the_choice_decides_between_words_and_calls(format: CallFormat) -> None:
    words = f"{format.words_open}It is late."
    call = written(format, ParsedToolCall("get_time", {}))
    tools = tuple(TOOLS.values())

    assert accepts(format, CallRules(tools, "auto"), words)
    assert accepts(format, CallRules(tools, "none"), words)
    assert not accepts(format, CallRules(tools, "required"), words)
    assert not accepts(format, CallRules(tools, "none"), call)
    assert not accepts(format, CallRules((SET,), "required"), call)


@formats
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_chosen_the_answer_is_a_call_that_fits(format: CallFormat, seed: int) -> None:
    """A model without sense: of all that the grammar allows, it takes anything."""
    rng = random.Random(seed)
    state = matcher(format, CallRules(tuple(TOOLS.values()), "required", 1))
    spoken, made = bytearray(), tokenizer(format)
    for _ in range(4000):
        ids = [int(one) for one in state.allowed().ids]
        ends = made.eog_ids.intersection(ids)
        if ends:
            break
        # Closing marks come rarely among so many letters; without them a text never ends.
        closing = [i for i in ids if i >= 256 or chr(i) in '"}])<\n']
        token = rng.choice(closing if closing and rng.random() < 0.4 else ids)
        assert state.accept(token)
        spoken += made.token_bytes(token)
    found = calls_in(read(format, spoken.decode("utf-8", "replace")))

    assert len(found) == 1, spoken
    tool = TOOLS[found[0].name]
    schema = {**tool.parameters} if isinstance(tool.parameters, dict) else {}
    if not isinstance(format.layout, ClauseLayout | TagLayout):
        assert faults(schema, json.dumps(found[0].arguments)) == []
    assert {"area", "level"} <= set(found[0].arguments) or tool is NOW


@formats
def test_a_call_that_is_cut_off_is_told_of_and_stays_text(format: CallFormat) -> None:
    text = written(format, ParsedToolCall("set_light", {"area": "kitchen", "level": 40}))
    cut = text[: text.index("kitchen") + 3]
    parser = OutputParser(format=format, tools=TOOLS)
    segments = parser.add(cut) + parser.finish()

    assert parser.has_unfinished_call
    said = "".join(one.text for one in segments if isinstance(one, TextDelta))
    assert said == format.prompt_ends_with + cut


def test_arguments_nested_ten_thousand_deep_end_nothing() -> None:
    for format in FORMATS:
        deep = "[" * 10_000 + "]" * 10_000
        text = written(format, ParsedToolCall("set_light", {"level": 7})).replace("7", deep)
        segments = read(format, text, size=1000)

        assert all(isinstance(one, TextDelta | ParsedToolCall | ReasoningDelta) for one in segments)


def test_a_section_without_end_becomes_text() -> None:
    format = format_named("hermes")
    text = '<tool_call>{"name": "' + "x" * 1_100_000

    assert "".join(one.text for one in read(format, text, size=100_000)
                   if isinstance(one, TextDelta)) == text  # fmt: skip
