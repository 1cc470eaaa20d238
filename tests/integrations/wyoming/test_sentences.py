"""Sentences of a stream: together they are the text, and each comes as soon as it can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.integrations.wyoming.sentences import SpokenSentences


def cut(*pieces: str) -> list[str]:
    sentences = SpokenSentences()
    found = [one for piece in pieces for one in sentences.add(piece)]
    return [*found, *sentences.finish()]


@given(st.lists(st.text(alphabet="aB.!? 。,\n*5", max_size=12), max_size=12))
def test_sentences_put_together_are_what_was_said(pieces: list[str]) -> None:
    sentences = SpokenSentences()
    found = [one for piece in pieces for one in sentences.add(piece)] + sentences.finish()

    assert "".join(found) == sentences.text
    assert all(found)
    spoken = "".join("".join(pieces).replace("*", "").split())
    assert "".join(sentences.text.replace("*", "").split()) == spoken


def test_a_sentence_is_out_with_the_first_letter_of_the_next() -> None:
    sentences = SpokenSentences()

    assert sentences.add("It is ") == []
    assert sentences.add("warm.") == []
    assert sentences.add(" T") == ["It is warm."]
    assert sentences.finish() == [" T"]


@pytest.mark.parametrize("text", ["It is warm. ", "Really? ", "Yes! ", 'He said "hello". '])
def test_a_whole_sentence_does_not_wait_for_the_next(text: str) -> None:
    # The runtime lets out whole sentences, so the first letter of the next may be long in coming.
    assert SpokenSentences().add(text) == [text.strip()]


@pytest.mark.parametrize("text", ["It takes approx. ", "Ask Dr. ", "In the U.S. ", "Number 1. "])
def test_what_may_be_an_abbreviation_waits(text: str) -> None:
    assert SpokenSentences().add(text) == []
    assert "".join(cut(text, "five minutes.")) == f"{text}five minutes."


def test_sentences_that_need_no_space_get_none() -> None:
    assert "".join(cut("你好。", "我很好。")) == "你好。我很好。"


def test_emphasis_is_not_spoken() -> None:
    assert cut("That is **very** good. Yes.") == ["That is very good.", " Yes."]
