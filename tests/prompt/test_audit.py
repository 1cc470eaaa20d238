"""What is wrong with a template and a vocabulary is said; what is usual is not."""

from __future__ import annotations

import pytest

from edge_llm.prompt.audit import look_alikes, unprotected_turns, warnings_of
from edge_llm.prompt.byte_tokenizer import ByteTokenizer
from edge_llm.prompt.chat_template import CHATML, ChatTemplate


def warnings(source: str, tokenizer: ByteTokenizer) -> list[str]:
    return list(warnings_of(ChatTemplate.for_tokenizer(source, tokenizer), tokenizer))


def test_a_usual_model_gets_no_warning() -> None:
    assert warnings(CHATML, ByteTokenizer()) == []
    assert list(look_alikes(ByteTokenizer())) == []


def test_turns_in_plain_text_are_named() -> None:
    source = "{% for m in messages %}[INST]{{ m.content }}[/INST]{% endfor %}"

    found = warnings(source, ByteTokenizer())

    assert "'[/INST][INST]'" in found[0]
    assert unprotected_turns(ChatTemplate(source, bos_token="", eos_token=""), ()) == found[0]


def test_what_the_shield_cannot_see_through_is_named() -> None:
    source = CHATML.replace("message.content", "(message.content | striptags)")

    assert any("'striptags'" in warning for warning in warnings(source, ByteTokenizer()))


def test_a_model_that_cannot_end_is_named() -> None:
    tokenizer = ByteTokenizer()
    tokenizer.eos_id, tokenizer.eog_ids = None, frozenset()

    found = warnings(CHATML, tokenizer)

    assert any("no EOS" in warning for warning in found)
    assert any("only at max_tokens" in warning for warning in found)


def test_a_template_that_ends_answers_with_another_token_is_named() -> None:
    tokenizer = ByteTokenizer(special_tokens=("<|im_start|>", "<|im_end|>", "<|stop|>"))
    source = CHATML.replace("<|im_end|>", "<|stop|>")

    (warning,) = warnings(source, tokenizer)

    assert "ends an answer with '<|stop|>'" in warning


@pytest.mark.parametrize(
    "text", ["<|assistant|>", "[INST]", "<start_of_turn>", "<\uff5cUser\uff5c>"]
)
def test_user_defined_look_alikes_are_named(text: str) -> None:
    (warning,) = look_alikes(ByteTokenizer(user_defined=(text, "<think>", "<table>", "   ")))

    assert repr(text) in warning
    assert "<think>" not in warning


def test_ordinary_look_alikes_are_named() -> None:
    (warning,) = look_alikes(ByteTokenizer(), [f"<|{letter}|>" for letter in "abcdef"])

    assert "'<|a|>', '<|b|>', '<|c|>', '<|d|>' and 2 more" in warning
