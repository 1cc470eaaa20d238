"""What a compiled grammar lets through, and what it takes to compile one."""

import re
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_llm.constrain.compile import MAX_COMPILED, GrammarCompiler
from edge_llm.constrain.grammar import (
    Choice,
    Concat,
    Either,
    FreeText,
    Grammar,
    JsonObject,
    JsonSchema,
    Lark,
    Marker,
    Part,
    Regex,
    Repeat,
    Selection,
    Trigger,
    Triggered,
    Until,
)
from edge_llm.errors import GrammarError, GrammarTooLargeError, UnsupportedSchemaError
from edge_llm.prompt.byte_tokenizer import ByteTokenizer

TOKENIZER = ByteTokenizer()
IDS = {token.text: token.id for token in TOKENIZER.special_tokens}
COMPILER = GrammarCompiler(TOKENIZER)

SOME = Selection(("a", "b", "c"), (False, True, False), ",")
LAMP = JsonSchema({"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"],
                   "additionalProperties": False})  # fmt: skip
X = '{"a":"x"}'


def token_ids(text: str) -> list[int]:
    parts = re.split("(<[^<> ]*>)", text)
    return [i for part in parts for i in ([IDS[part]] if part in IDS else part.encode())]


def accepts(grammar: Grammar, text: str) -> bool:
    state = COMPILER.compile(grammar).start()
    for token_id in token_ids(text):
        allowed = token_id in state.allowed().ids if not state.is_complete else False
        assert state.accept(token_id) == allowed
        if not allowed:
            return False
    return state.fits


CALL = Concat((LAMP, Marker("</tool_call>")))
SPEAKS = Triggered((Trigger(Marker("<tool_call>"), CALL),))
ONE_CALL = Triggered(
    (Trigger(Marker("<tool_call>"), CALL),), at_least=1, at_most=1, ends_after=True
)
MAY_CALL = Triggered((Trigger(Marker("<tool_call>"), CALL),), at_most=1, ends_after=True)
SPELLED = Triggered((Trigger("<fn=", LAMP), Trigger("<gn=", "ok")), at_most=2)
CALLED = f"<tool_call>{X}</tool_call>"


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        (LAMP, X),
        (JsonSchema(LAMP.schema, white_space=True), '{ "a":\n "x" }'),
        (JsonObject(), '{"a":[1,{"b":null}],"c":"\\u0000é"}'),
        (JsonObject(white_space=True), '{ "a": 1 }'),
        (JsonSchema(True), "[1,2]"),
        (JsonSchema({"const": '\x00"\\é🙂'}), '"\\u0000\\"\\\\é🙂"'),
        (JsonSchema({"type": ["string", "null"]}), "null"),
        (JsonSchema({"prefixItems": [{"type": "null"}], "items": {"pattern": "a"}}), '[null,"a"]'),
        (JsonSchema({"type": "string", "pattern": "b{2}"}), '"abbc"'),
        (JsonSchema({"type": "string", "format": "date"}), '"2024-02-29"'),
        (JsonSchema({"type": "object", "additionalProperties": {"type": "integer"}}), '{"z":4}'),
        (JsonSchema({"allOf": [{"minimum": 3}, {"type": "integer", "maximum": 5}]}), "4"),
        (JsonSchema({"oneOf": [{"type": "string"}, {"type": "null"}]}), "null"),
        (Regex(r"\d{2}/\d{2}\n?é+"), "12/34é"),
        (Regex("a\\/b"), "a/b"),
        (Regex("a\nb"), "a\nb"),
        (Choice(("on", "off", "")), ""),
        (Choice(('"quoted"\n\\é\x00',)), '"quoted"\n\\é\x00'),
        (Lark('start: "a" %json {"type":"object"}'), "a{}"),
        (Concat((Marker("<tool_call>"), "\n", LAMP)), f"<tool_call>\n{X}"),
        (Concat((Marker("[no such token]"), LAMP)), f"[no such token]{X}"),
        (Concat(()), ""),
        (Either((LAMP, "no", "nope")), "nope"),
        (Either((LAMP, "no", "nope")), X),
        (Repeat(LAMP, 1, 2, ","), f"{X},{X}"),
        (Repeat("a", separator=","), "a,a,a"),
        (Repeat("a"), ""),
        (Repeat("a", 0, 0), ""),
        (SOME, "b"),
        (SOME, "a,b,c"),
        (SOME, "b,c"),
        (Selection(("a", "b"), (False, False), ","), ""),
        (Selection(("a", "b"), (True, False)), "ab"),
        (Selection((), ()), ""),
        (FreeText(), "anything <think> at all"),
        (FreeText(("STOP", Marker("<tool_call>"))), "ST STO"),
        (Until("END"), "the END"),
        (Concat((Until("END"), LAMP)), f"END{X}"),
        (Concat((Until(Marker("</think>")), LAMP)), f"<think> hm</think>{X}"),
        (SPEAKS, "just words"),
        (SPEAKS, f"so: {CALLED} and {CALLED} done"),
        (SPEAKS, f"<think> hm </think> {CALLED}"),
        (ONE_CALL, f"so: {CALLED}"),
        (MAY_CALL, "nothing"),
        (MAY_CALL, f"so: {CALLED}"),
        (SPELLED, f"a <fn={X} b <gn=ok c"),
        (SPELLED, "a <f b"),
        (Triggered(()), "words"),
        (Triggered((Trigger(Marker("<tool_call>"), CALL),), at_most=0), "words"),
    ],
)  # fmt: skip
def test_a_text_that_fits_is_let_through(grammar: Grammar, text: str) -> None:
    assert accepts(grammar, text)


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        (LAMP, '{"a": "x"}'),
        (LAMP, '{"b":"x"}'),
        (JsonObject(), "[1]"),
        (JsonSchema({"type": "integer", "minimum": 3, "exclusiveMinimum": True}), "3"),
        (JsonSchema({"prefixItems": [{"type": "null"}], "items": False}), "[null,1]"),
        (JsonSchema({"type": "string", "format": "ipv4"}), '"1.2.3.400"'),
        (Regex("ab"), "abb"),
        (Choice(("on", "off")), "offf"),
        (Lark('start: "a" %json {"type":"object"}'), "a{ }"),
        (Repeat("a", 2, 3), "a"),
        (SOME, "a,c"),
        (SOME, "b,"),
        (SOME, "c,b"),
        (Repeat("a", 0, 1), "aa"),
        (Repeat("a", 2, 3), "aaaa"),
        (FreeText(("STOP",)), "do STOP"),
        (FreeText((Marker("<tool_call>"),)), "a <tool_call>"),
        (Until("END"), "the EN"),
        (Until("END"), "the END."),
        (SPEAKS, '<tool_call>{"b"'),
        (ONE_CALL, "just words"),
        (ONE_CALL, f"{CALLED} and"),
        (MAY_CALL, f"{CALLED}{CALLED}"),
        (SPELLED, "a <gn=no"),
        (Triggered((Trigger(Marker("<tool_call>"), CALL),), at_most=0), "a <tool_call>"),
    ],
)
def test_a_text_that_does_not_fit_is_stopped(grammar: Grammar, text: str) -> None:
    assert not accepts(grammar, text)


def test_the_spelling_of_a_trigger_does_not_pass_for_it() -> None:
    state = COMPILER.compile(SPEAKS).start()

    taken = [state.accept(byte) for byte in b"<tool_call>"]

    assert taken == [True] * 10 + [False]


def test_no_token_that_ends_a_turn_comes_before_the_text_fits() -> None:
    state = COMPILER.compile(Concat((FreeText(), "!"))).start()

    assert not TOKENIZER.eog_ids & set(state.allowed().ids.tolist())


def test_what_is_relaxed_is_named_and_nothing_else_is_given_up() -> None:
    schema = {
        "properties": {
            "a": {"type": "string", "pattern": "^(?=x)y"},
            "b": {"type": "string", "pattern": "^z+$"},
            "c": {"type": "array", "uniqueItems": True},
        },
        "required": ["b"],
        "additionalProperties": False,
    }

    compiled = COMPILER.compile(JsonSchema(schema))

    assert compiled.relaxed == ("#/properties/a/pattern", "#/properties/c/uniqueItems")
    assert accepts(JsonSchema(schema), '{"a":"anything","b":"zz","c":[1,1]}')
    assert not accepts(JsonSchema(schema), '{"b":"x"}')


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"a": {"type": "string", "pattern": "(?=x)"}}}, "#/properties/a/pattern"),
        ({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}, "#/oneOf"),
        ({"type": "object", "properties": {"a": {}}, "minProperties": 3}, "#/minProperties"),
        ({"patternProperties": {"^a": {"type": "null"}, "^ab": {}}}, "#/patternProperties"),
    ],
)
def test_a_strict_schema_that_the_library_refuses_names_the_keyword(
    schema: dict[str, Any], path: str
) -> None:
    relaxed = COMPILER.compile(JsonSchema(schema)).relaxed
    with pytest.raises(UnsupportedSchemaError) as caught:
        COMPILER.compile(JsonSchema(schema, strict=True))

    assert relaxed == (path,)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "grammar",
    [
        Regex("("),
        Regex("(?=a)b"),
        Regex("\ud800"),
        Lark("start: x"),
        Lark(""),
        Lark('start: %json {"type":'),
        Choice(()),
        Choice(("\udc00",)),
        Either(()),
        FreeText(("",)),
        Repeat("a", 3, 2),
        Repeat("a", -1),
        JsonSchema({"type": "integer", "minimum": 5, "maximum": 4}),
        JsonSchema({"type": "object", "required": ["a"], "additionalProperties": False}),
        JsonSchema({"const": b"bytes"}),
        Concat((3,)),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_grammar_is_a_typed_error(grammar: Grammar) -> None:
    with pytest.raises(GrammarError):
        COMPILER.compile(grammar)


def nested(depth: int) -> Grammar:
    grammar: Grammar = LAMP
    for _ in range(depth):
        grammar = Concat((grammar,))
    return grammar


DEEP: dict[str, Any] = {}
for _ in range(5000):
    DEEP = {"items": DEEP}


def chained(length: int, link: str) -> JsonSchema:
    """Each definition refers to the next one, as what it is or as what it holds."""
    definitions: dict[str, Any] = {f"d{length}": {"type": "null"}}
    for i in range(length):
        reference = {"$ref": f"#/$defs/d{i + 1}"}
        schemas = {
            "$ref": reference,
            "anyOf": {"anyOf": [reference]},
            "items": {"items": reference},
        }
        definitions[f"d{i}"] = schemas[link]
    return JsonSchema({"$ref": "#/$defs/d0", "$defs": definitions})


HOSTILE: dict[str, Grammar] = {
    "long chain of names": chained(8000, "$ref"),
    "long chain of choices": chained(4000, "anyOf"),
    "long chain of arrays": chained(4000, "items"),
    "deep Lark": Lark("start: " + "(" * 50_000 + '"a"' + ")" * 50_000),
    "deep regex": Regex("(" * 50_000 + "a" + ")" * 50_000),
    "deep schema": JsonSchema(DEEP),
    "deep parts": nested(2000),
    "many parts": Either(tuple(f"{i}" for i in range(30_000))),
    "many choices": Choice(tuple(f"{i}" for i in range(20_000))),
    "ten megabytes": JsonSchema({"enum": [f"{i:0100}" for i in range(100_000)]}),
    "product of choices": JsonSchema(
        {
            "allOf": [
                {"anyOf": [{"properties": {f"k{i}": {}}, "required": [f"k{i}"]} for i in range(14)]}
                for _ in range(9)
            ]
        }
    ),
    "large multiple": JsonSchema({"type": "integer", "multipleOf": 10**9 + 7}),
    "counted regex": Regex("(((((a{1,100}){1,100}){1,100}){1,100}){1,100}){1,100}b"),
    "subset regex": Regex("(a|b)*a(a|b){200}"),
    "many names": JsonSchema({"type": "object", "properties": {f"p{i}": {} for i in range(900)}}),
    "large counts": JsonSchema(
        {"type": "array", "items": {"type": "string", "minLength": 10**5}, "minItems": 10**5}
    ),
    "large repeat": Repeat(Repeat(Repeat("a", 0, 5000), 0, 5000), 0, 5000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_grammar_is_refused_or_followed_within_its_bounds(name: str) -> None:
    try:
        state = COMPILER.compile(HOSTILE[name]).start()
        for _ in range(20):
            if state.is_complete:
                break
            allowed = state.allowed().ids.tolist()
            if not state.accept(allowed[len(allowed) // 2]):
                raise AssertionError("an allowed token was refused")
    except GrammarTooLargeError:
        pass


def test_the_same_grammar_is_compiled_once() -> None:
    compiler = GrammarCompiler(TOKENIZER)

    first = compiler.compile(JsonSchema({"type": "object", "properties": {"a": {}, "b": {}}}))
    again = compiler.compile(JsonSchema({"type": "object", "properties": {"a": {}, "b": {}}}))
    other = compiler.compile(JsonSchema({"type": "object", "properties": {"b": {}, "a": {}}}))

    assert first is again
    assert other is not first  # properties come in the order of the schema


def test_the_grammar_used_longest_ago_is_forgotten_first() -> None:
    compiler = GrammarCompiler(TOKENIZER)
    kept = compiler.compile(Choice(("kept",)))
    lost = compiler.compile(Choice(("lost",)))
    for i in range(MAX_COMPILED - 1):
        compiler.compile(Choice((f"{i}",)))
        compiler.compile(Choice(("kept",)))

    assert compiler.compile(Choice(("kept",))) is kept
    assert compiler.compile(Choice(("lost",))) is not lost


def test_many_threads_compile_at_once() -> None:
    compiler = GrammarCompiler(TOKENIZER)
    made: list[bool] = []

    def compile_all() -> None:
        for i in range(20):
            state = compiler.compile(Choice((f"number {i}",))).start()
            made.append(len(state.forced()) > 0)

    threads = [threading.Thread(target=compile_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert made == [True] * 80


whole_parts: st.SearchStrategy[Part] = st.sampled_from(
    [
        *("", "a", "<tool_call>", "é"),
        *(LAMP, JsonObject(), Regex("[a-c]*"), Choice(("a", "ab", ""))),
        *(Marker("<think>"), Marker("none"), FreeText(), Until("b"), Until(Marker("</think>"))),
    ]
)
begins = st.sampled_from(["<x", "<y", Marker("<tool_call>")])
counts = st.none() | st.integers(1, 3)


def composed(inner: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    triggers = st.lists(st.builds(Trigger, begins, inner), max_size=2).map(tuple)
    return (
        st.builds(Concat, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Either, st.lists(inner, min_size=1, max_size=3).map(tuple))
        | st.builds(Repeat, inner, st.integers(0, 1), counts, st.sampled_from(["", ","]))
        | st.builds(Triggered, triggers, st.integers(0, 1), counts, st.booleans())
    )


parts = st.recursive(whole_parts, composed, max_leaves=6)


@settings(max_examples=100)
@given(parts, st.lists(st.integers(0, 1 << 20), max_size=40))
def test_any_parts_put_together_can_be_followed(part: Part, choices: Sequence[int]) -> None:
    try:
        state = COMPILER.compile(Concat((part,))).start()
        for choice in choices:
            if state.is_complete:
                break
            ids = state.allowed().ids
            token_id = int(ids[choice % len(ids)])
            if token_id in TOKENIZER.eog_ids:
                assert state.fits
                break
            assert state.accept(token_id)
    except GrammarError:
        pass  # two parts may fit the same text in ways that the library does not follow
