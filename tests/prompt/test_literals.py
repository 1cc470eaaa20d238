from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_llm.prompt.literals import LiteralIndex, Partitioner
from edge_llm.prompt.tokenizer import SpecialToken, TokenKind


def tokens(*texts: str, right: bool = False, left: bool = False) -> list[SpecialToken]:
    return [
        SpecialToken(i, text, TokenKind.CONTROL, strips_left=left, strips_right=right)
        for i, text in enumerate(texts)
    ]


def spelled(parts: list[str | SpecialToken]) -> list[str | int]:
    return [part if isinstance(part, str) else part.id for part in parts]


@given(st.lists(st.text("ab<|", min_size=1, max_size=4), max_size=6), st.text("ab<|", max_size=30))
def test_every_occurrence_is_found(literals: list[str], text: str) -> None:
    expected = {(i, lit) for lit in literals for i in range(len(text)) if text.startswith(lit, i)}
    found = list(LiteralIndex(literals).find(text))

    assert set(found) == expected
    assert len(found) == len(expected)


def test_the_longest_literal_wins_even_when_it_starts_later() -> None:
    assert spelled(Partitioner(tokens("<a", "a>bcd")).split("x<a>bcd<a")) == ["x<", 1, 0]


def test_length_is_counted_in_bytes() -> None:
    assert spelled(Partitioner(tokens("ab", "bé")).split("abé")) == ["a", 1]


def test_white_space_goes_with_a_token_that_strips_it() -> None:
    assert spelled(Partitioner(tokens("<m>", right=True)).split("a <m> \n b<m>  ")) == [
        "a ", 0, "b", 0,
    ]  # fmt: skip
    assert spelled(Partitioner(tokens("<m>", left=True)).split("a <m> b\u00a0 <m>")) == [
        "a", 0, " b\u00a0", 0,
    ]  # fmt: skip


def test_no_tokens_no_cuts() -> None:
    assert Partitioner([]).split("text") == ["text"]
    assert Partitioner([]).split("") == []
