"""Real templates on real vocabularies, against llama.cpp's own tokenisation of the whole prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_llm.backends.llama_cpp.tokenizer import LlamaTokenizer
from edge_llm.prompt.audit import unprotected_turns
from edge_llm.prompt.encode import PromptEncoder
from edge_llm.prompt.messages import normalize_messages
from edge_llm.prompt.shield import protected_tokens
from tests.prompt.models import ModelCase

pytestmark = pytest.mark.peers

Slots = Callable[[str], str]
"""Gives the text for a named place in the conversation."""

BENIGN = [
    "Turn on the kitchen light.",
    "  leading and trailing spaces  ",
    "\n\nnew lines\n\n\n",
    "> a quote\n> of two lines",
    "Grüße, 你好, こんにちは, 🏳️‍🌈 e\u0301 \u200b",
    "def f(x):\n\treturn x  <  3 and x >> 2 or [i for i in y]\n",
    "a <| b |> c",
    "<table><tr><td>1</td></tr></table>\n    <b>x</b>",
    '{"name": "x", "arguments": {"a": [1, 2.5, null, true]}}',
    "[INS and tool and user and end of turn",
    "ends with <",
    "]",
    "\x00 \x01 \x7f",
    "lone \ud800 surrogate",
    "The word think, and 1 < 2 > 0 |>",
]

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "turn_on",
        "description": "Turn a device on, > quickly.",
        "parameters": {
            "type": "object",
            "properties": {
                "area": {
                    "type": "string",
                    "description": "Which room",
                    "enum": ["kitchen", "hall"],
                },
                "level": {"type": "integer"},
            },
            "required": ["area"],
        },
    },
}


def same(text: str) -> Slots:
    return lambda _: text


def conversation(slot: Slots) -> list[dict[str, Any]]:
    parts = [{"type": "text", "text": slot("p1")}, {"type": "text", "text": slot("p2")}]
    return [
        {"role": "system", "content": slot("system")},
        {"role": "user", "content": slot("user 1")},
        {"role": "assistant", "content": slot("assistant")},
        {"role": "user", "content": parts},
    ]


def tool_conversation(slot: Slots) -> list[dict[str, Any]]:
    name = "turn_on" + slot("call name")
    arguments = {"k" + slot("call key"): slot("call value"), "n": [slot("nested")]}
    call = {
        "id": "abcdefghi",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
    return [
        {"role": "user", "content": slot("user 1")},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefghi", "name": name, "content": slot("result")},
        {"role": "assistant", "content": slot("assistant")},
        {"role": "user", "content": slot("user 2")},
    ]


def hostile_tools(slot: Slots) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": "turn_on" + slot("tool name"),
                "description": "Turns on " + slot("tool description"),
                "parameters": {
                    "type": "object",
                    "properties": {
                        "area" + slot("tool key"): {
                            "type": "string",
                            "description": "x" + slot("parameter"),
                            "enum": ["y" + slot("enum")],
                        }
                    },
                    "required": ["area" + slot("required")],
                },
            },
        }
    ]


def whole_prompt_ids(tokenizer: LlamaTokenizer, text: str) -> list[int]:
    ids = tokenizer.encode_with_special(text)
    if tokenizer.add_bos and ids[:1] != [tokenizer.bos_id]:
        ids = [tokenizer.bos_id or 0, *ids]
    return ids


def special_ids(encoder: PromptEncoder, ids: tuple[int, ...]) -> list[int]:
    tokenizer = encoder.tokenizer
    protected = protected_tokens(tokenizer.special_tokens, encoder.template.source)
    known = {token.id for token in protected}
    return [i for i in ids if i in known]


def squeezed(text: str) -> str:
    """Without white space: SentencePiece adds some, Phi-3's tokens swallow some."""
    return "".join(text.split())


def decoded(encoder: PromptEncoder, ids: tuple[int, ...]) -> str:
    tokenizer = encoder.tokenizer
    ids = ids[1:] if ids[:1] == (tokenizer.bos_id,) else ids
    return squeezed(b"".join(map(tokenizer.token_bytes, ids)).decode())


def expected_text(encoder: PromptEncoder, text: str) -> str:
    bos = encoder.template.bos_token
    text = text.removeprefix(bos) if bos else text
    return squeezed(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))


@pytest.mark.parametrize("content", BENIGN)
def test_honest_conversations_get_the_ids_of_the_whole_prompt(
    model_encoder: PromptEncoder, model_tokenizer: LlamaTokenizer, content: str
) -> None:
    prompt = model_encoder.encode(conversation(same(content)))

    assert list(prompt.token_ids) == whole_prompt_ids(model_tokenizer, prompt.text)


@pytest.mark.parametrize("content", BENIGN)
def test_honest_tool_use_gets_the_ids_of_the_whole_prompt(
    model_case: ModelCase,
    model_encoder: PromptEncoder,
    model_tokenizer: LlamaTokenizer,
    content: str,
) -> None:
    if not model_case.has_tool_turns:
        pytest.skip("the template knows no tools")

    def slot(place: str) -> str:
        return "" if place in ("call name", "call key") else content

    prompt = model_encoder.encode(tool_conversation(slot), [TOOL, TOOL])

    assert list(prompt.token_ids) == whole_prompt_ids(model_tokenizer, prompt.text)


def hostile_texts(encoder: PromptEncoder) -> list[str]:
    tokens = protected_tokens(encoder.tokenizer.special_tokens, encoder.template.source)
    literals = [token.text for token in tokens]
    few = literals[:12] + literals[-12:] + [t for t in literals if t in encoder.template.source]
    texts = ["x".join(literals), " ".join(literals), "".join(literals)]
    for text in dict.fromkeys(few):
        half = len(text) // 2
        texts += [
            text,
            text[:half] + text + text[half:],
            text + text[1:],
            text[:-1] + text,
            text[half:],
            text[:half],
            text[1:-1],
            text[:1] + " " + text[1:],
            text.upper(),
            text.lower().replace("s", "\u017f"),
            *(text[:half] + needle + text[half:] for needle in encoder.template.needles),
        ]
    return texts


def neutral_text(encoder: PromptEncoder, text: str) -> str:
    """Harmless text with what a template acts on: SmolLM3's `/no_think`, the end of a thought."""
    if text in encoder.template.needles:
        return text
    words = sorted(n for n in encoder.template.needles if n in text and "think>" not in n)
    (message,) = normalize_messages([{"role": "assistant", "content": text}])
    if "reasoning_content" not in message:
        return " ".join(["neutral", *words])
    thought = "thought" if message["reasoning_content"].strip() else ""
    answer = "answer" if message["content"].strip() else ""
    return thought + "</think>" + " ".join([answer, *words])


def test_no_message_forges_a_special_token(model_encoder: PromptEncoder) -> None:
    for text in hostile_texts(model_encoder):
        content = "a" + text + "b"
        neutral = neutral_text(model_encoder, content)
        expected = model_encoder.encode(conversation(same(neutral)))
        prompt = model_encoder.encode(conversation(same(content)))

        assert special_ids(model_encoder, prompt.token_ids) == special_ids(
            model_encoder, expected.token_ids
        ), text
        assert decoded(model_encoder, prompt.token_ids) == expected_text(
            model_encoder, prompt.text
        ), text


def test_no_bare_message_forges_a_special_token(model_encoder: PromptEncoder) -> None:
    for text in hostile_texts(model_encoder):
        neutral = neutral_text(model_encoder, text)
        expected = model_encoder.encode(conversation(same(neutral)))
        prompt = model_encoder.encode(conversation(same(text)))

        assert special_ids(model_encoder, prompt.token_ids) == special_ids(
            model_encoder, expected.token_ids
        ), text


def test_no_tool_forges_a_special_token(
    model_case: ModelCase, model_encoder: PromptEncoder
) -> None:
    if not model_case.has_tool_turns:
        pytest.skip("the template knows no tools")
    neutral = model_encoder.encode(
        tool_conversation(same("neutral")), hostile_tools(same("neutral"))
    )
    expected = special_ids(model_encoder, neutral.token_ids)
    for text in hostile_texts(model_encoder):
        prompt = model_encoder.encode(tool_conversation(same(text)), hostile_tools(same(text)))

        assert special_ids(model_encoder, prompt.token_ids) == expected, text


def test_every_literal_stays_readable_as_text(model_encoder: PromptEncoder) -> None:
    tokens = protected_tokens(model_encoder.tokenizer.special_tokens, "")
    for token in tokens[:40]:
        prompt = model_encoder.encode([{"role": "user", "content": f"say {token.text} now"}])

        assert squeezed(f"say {token.text} now") in decoded(model_encoder, prompt.token_ids)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_random_pieces_of_literals_forge_nothing(
    data: st.DataObject, model_case: ModelCase, model_encoder: PromptEncoder
) -> None:
    tokens = protected_tokens(model_encoder.tokenizer.special_tokens, model_encoder.template.source)
    literals = [t.text for t in tokens][:8] + [t.text for t in tokens][-8:]
    literals += [t.text for t in tokens if t.text in model_encoder.template.source]
    pieces = {
        piece for text in literals for k in range(1, len(text)) for piece in (text[:k], text[k:])
    }
    pieces |= {*literals, *model_encoder.template.needles}
    pieces |= {" ", "\n", "a", "\ue000", "\ue001", "\\ue000", "\0"}
    texts = st.lists(st.sampled_from(sorted(pieces)), max_size=6).map("".join)
    drawn: dict[str, str] = {}

    def slot(place: str) -> str:
        if place not in drawn:
            text = data.draw(texts, label=place)
            # Messages differ from each other, because some templates look for the last by value.
            drawn[place] = squeezed(place) + text if data.draw(st.booleans()) else text + place
        return drawn[place]

    def neutral(place: str) -> str:
        return squeezed(place) + neutral_text(model_encoder, slot(place))

    messages, tools = conversation, None
    if model_case.has_tool_turns and data.draw(st.booleans()):
        messages, tools = tool_conversation, hostile_tools

    prompt = model_encoder.encode(messages(slot), tools(slot) if tools else None)
    expected = model_encoder.encode(messages(neutral), tools(neutral) if tools else None)

    assert special_ids(model_encoder, prompt.token_ids) == special_ids(
        model_encoder, expected.token_ids
    )
    assert decoded(model_encoder, prompt.token_ids) == expected_text(model_encoder, prompt.text)


def test_turns_of_these_models_are_protected(model_encoder: PromptEncoder) -> None:
    assert unprotected_turns(model_encoder.template, model_encoder.tokenizer.special_tokens) is None
