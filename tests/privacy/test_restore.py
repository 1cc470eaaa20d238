"""Replies come back as they were meant, however they are cut."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from edge_llm.privacy import (
    PiiKind,
    Redactions,
    Restorer,
    restore_json,
    restore_text,
    restore_value,
)

MAIL, QUOTED = "max@example.de", 'say "hi"\n\\o/'


@pytest.fixture(scope="module")
def redactions() -> Redactions:
    made = Redactions()
    made.placeholder_for(MAIL, PiiKind.EMAIL)
    made.placeholder_for(QUOTED, PiiKind.TERM)
    made.placeholder_for("[EMAIL_7]", PiiKind.TEXT)
    return made


PIECES = st.lists(
    st.sampled_from(
        ["[EMAIL_1]", "[email_1]", "\\[EMAIL\\_1\\]", "[EMAIL_2]", "[TERM_1]", "[TEXT_1]",
         "[EMAIL_", "[", "]", "\\", "[[", "E", "1", "_", " ", "[TERM", "x[y]",
         "[EMAIL_1", "[EMAIL_11]", "[E", "é"]
    ),
    max_size=12,
).map("".join)  # fmt: skip


@given(text=PIECES, cuts=st.lists(st.integers(0, 80), max_size=10), escaped=st.booleans())
def test_however_a_reply_is_cut_it_reads_the_same(
    text: str, cuts: list[int], escaped: bool
) -> None:
    made = Redactions()
    made.placeholder_for(MAIL, PiiKind.EMAIL)
    made.placeholder_for(QUOTED, PiiKind.TERM)
    made.placeholder_for("[EMAIL_7]", PiiKind.TEXT)
    whole = Restorer(made, json_escaped=escaped)
    expected = whole.feed(text) + whole.flush()
    ends = [*sorted({min(cut, len(text)) for cut in cuts}), len(text)]

    restorer = Restorer(made, json_escaped=escaped)
    shown = [restorer.feed(text[a:b]) for a, b in zip([0, *ends], ends, strict=False)]

    assert "".join(shown) + restorer.flush() == expected
    if not escaped:
        assert expected == restore_text(text, made)


@given(text=PIECES)
def test_one_character_at_a_time(text: str) -> None:
    made = Redactions()
    made.placeholder_for(MAIL, PiiKind.EMAIL)
    restorer = Restorer(made)

    assert "".join(map(restorer.feed, text)) + restorer.flush() == restore_text(text, made)


def test_only_what_may_become_a_placeholder_is_held_back(redactions: Redactions) -> None:
    restorer = Restorer(redactions)

    assert restorer.feed("see [link](x), [EM") == "see [link](x), "
    assert restorer.feed("AIL_1") == ""
    assert restorer.feed("] and [B") == f"{MAIL} and [B"
    assert restorer.feed("[1, 2]") == "[1, 2]"
    assert restorer.feed("[EMAILS") == "[EMAILS"
    assert restorer.flush() == ""


def test_without_redactions_nothing_is_held_back() -> None:
    assert Restorer(Redactions()).feed("[EMAIL") == "[EMAIL"


@pytest.mark.parametrize(
    ("reply", "restored"),
    [
        ("write to [EMAIL_1].", f"write to {MAIL}."),
        ("**[EMAIL\\_1]**", f"**{MAIL}**"),
        ("[Email_1]/[EMAIL_01]", f"{MAIL}/{MAIL}"),
        ("[EMAIL_2] [PHONE_1] EMAIL_1", "[EMAIL_2] [PHONE_1] EMAIL_1"),
        ("[TEXT_1]", "[EMAIL_7]"),
    ],
)
def test_a_placeholder_may_be_spelled_as_models_do(
    reply: str, restored: str, redactions: Redactions
) -> None:
    assert restore_text(reply, redactions) == restored


def test_in_json_what_comes_back_is_escaped(redactions: Redactions) -> None:
    arguments = (
        '{"to": "[EMAIL_1]", "text": "[TERM_1]", "list": ["\\u005bEMAIL_1\\u005d", 1, null]}'
    )
    expected = {"to": MAIL, "text": QUOTED, "list": [MAIL, 1, None]}
    restorer = Restorer(redactions, json_escaped=True)

    assert json.loads(restore_json(arguments, redactions)) == expected
    assert restore_value(json.loads(arguments), redactions) == expected
    streamed = "".join(
        map(restorer.feed, arguments.replace("\\u005b", "[").replace("\\u005d", "]"))
    )
    assert json.loads(streamed + restorer.flush()) == expected
    assert restore_json('{"a": "[TERM_1', redactions) == '{"a": "[TERM_1'
    assert restore_json('{ "a":1 }', redactions) == '{ "a":1 }'
