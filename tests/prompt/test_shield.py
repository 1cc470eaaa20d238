from __future__ import annotations

import itertools
from datetime import datetime

import pytest

from edge_llm.errors import InvalidParameterError
from edge_llm.prompt.shield import Shield, protected_tokens
from edge_llm.prompt.tokenizer import SpecialToken, TokenKind

LITERALS = ["<|im_start|>", "<|im_end|>", "[INST]", "</s>"]
S = "\ue000"


@pytest.mark.parametrize(
    "text",
    [
        "Turn on the light.", "<b>bold</b>", "a <| b |> c", "5 > 3", "[1, 2]", "", "  ", "</b> x",
        '{"a": [1]}', "\n\n# Title\n", "日本語", "<think>hm</think>",
    ],
)  # fmt: skip
def test_honest_text_stays_untouched(text: str) -> None:
    assert Shield(LITERALS).cover_text(text, S) == text


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("a<|im_end|>b", f"a<{S}|im_end|>b"),
        ("x</s></s>y", f"x<{S}/s><{S}/s>y"),
        ("<|im_<|im_end|>end|>", f"<|im_<{S}|im_end|>{S}end|>".replace(f"|>{S}end", "|>end")),
        ("  |> x", f"  {S}|> x"),
        (">", f"{S}>"),
        ("x <|im_  ", f"x <|im_{S}  "),
        ("x [", f"x [{S}"),
    ],
)
def test_spellings_and_dangerous_borders_are_broken(text: str, covered: str) -> None:
    assert Shield(LITERALS).cover_text(text, S) == covered


def test_no_two_or_three_strings_join_to_a_literal() -> None:
    for literal in LITERALS:
        for i, j in itertools.combinations_with_replacement(range(len(literal) + 1), 2):
            pieces = [literal[:i], literal[i:j], literal[j:]]
            if sum(map(bool, pieces)) < 2 and i:
                continue
            shield = Shield(LITERALS, texts=pieces)
            joined = "".join(shield.cover_text(piece, S) for piece in pieces)
            assert literal not in joined
            # The same where the template writes one of the three.
            for k in (0, 1, 2):
                if not pieces[k] or len(pieces[k]) == len(literal):
                    continue
                mixed = [p if n == k else shield.cover_text(p, S) for n, p in enumerate(pieces)]
                assert literal not in "".join(mixed)


def test_texts_that_the_template_cuts_out_do_not_join_the_rest() -> None:
    shield = Shield(LITERALS, needles=["/no_think", "/think"])
    covered = shield.cover_text("<|im_/th/no_thinkink" + "end|> ok", S)
    for needle in ("/no_think", "/think"):
        covered = covered.replace(needle, "")

    assert covered == f"<{S}|im_end|> ok"
    assert shield.cover_text("You are kind. /no_think", S) == "You are kind. /no_think"


def test_case_counts_only_where_the_template_changes_it() -> None:
    text = "[in\u017ft] [\u0131nst] <|IM_END|>."

    assert Shield(LITERALS).cover_text(text, S) == text
    assert Shield(LITERALS, any_case=True).cover_text(text, S) == (
        f"{S}[{S}in\u017ft] [{S}\u0131nst] <{S}|IM_END|>."
    )


def test_keys_values_and_nested_values_are_covered() -> None:
    value = {"type": "object", "x</s>.": ["x</s>.", 1, None, True, 2.5], "object": {"x": "object"}}

    shield = Shield([*LITERALS, "<|object|>"], texts=["<|", "|>"])

    assert shield.cover(value, S) == {
        "type": "object",
        f"x<{S}/s>.": [f"x<{S}/s>.", 1, None, True, 2.5],
        "object": {"x": f"{S}object"},
    }


def test_a_word_is_covered_where_the_template_writes_the_rest() -> None:
    assert Shield(LITERALS, texts=["\n<|im_", "|>"]).cover_text("end", S) == f"{S}end"
    assert Shield(LITERALS, texts=["x <", "> y"]).cover_text("|im_end|", S) == f"{S}|im_end|"
    assert Shield(LITERALS, texts=["<|im_", "["]).cover_text("end", S) == "end"


def test_what_is_not_json_is_refused() -> None:
    for value in (datetime(2026, 1, 1), {1: 2}, b"x"):
        with pytest.raises(InvalidParameterError):
            Shield(LITERALS).cover(value, S)


def test_the_sentinel_occurs_in_no_string_even_escaped() -> None:
    shield = Shield(LITERALS)

    assert shield.pick_sentinel(["a"]) == "\ue000"
    assert shield.pick_sentinel(["\ue000", "x\\uE001"]) == "\ue002"
    with pytest.raises(InvalidParameterError):
        shield.pick_sentinel(map(chr, range(0xE000, 0xF900)))


def test_structure_is_protected_and_ordinary_text_is_not() -> None:
    texts = ["<|tool_call>", "<think>", "</tool_call>", "[INST]", "<own>", "<table>", "    ", "\n"]
    tokens = [SpecialToken(i, t, TokenKind.USER_DEFINED) for i, t in enumerate(texts)]
    tokens += [SpecialToken(90, "x", TokenKind.CONTROL), SpecialToken(91, "ab", TokenKind.UNKNOWN)]

    protected = protected_tokens(tokens, "{{ '<own>' }}     ")

    assert [t.text for t in protected] == [
        "<|tool_call>", "<think>", "</tool_call>", "[INST]", "<own>", "ab",
    ]  # fmt: skip
