import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_llm.confidence.text.ngrams import NUM_BUCKETS, char_ngrams, hashed, word_ngrams
from edge_llm.confidence.text.shape import ANSWER_SHAPE, QUERY_SHAPE, answer_shape, query_shape
from edge_llm.confidence.text.sums import Sums, check_sums


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 * 4 + 2 = 14", Sums(1, 0)),
        ("3 * 4 + 2 = 18", Sums(0, 1)),
        ("10 - 2 * 3 = 4 and 1 + 1 = 3", Sums(1, 1)),
        ("$1,200 / 3 = $400", Sums(1, 0)),
        ("9 * 2 = $18, 9*2=17", Sums(1, 1)),
        ("50% x 80 = 40", Sums(1, 0)),
        ("10 / 3 = 3.33", Sums(1, 0)),
        ("5 / 0 = 1", Sums(0, 0)),
        ("x = 4, so 4 = x", Sums(0, 0)),
        ("", Sums(0, 0)),
    ],
)
def test_sums_are_done_again(text: str, expected: Sums) -> None:
    assert check_sums(text) == expected


def test_the_shape_of_a_question() -> None:
    found = dict(zip(QUERY_SHAPE, query_shape("Is 3 more than 2.5? Yes, 20%."), strict=True))

    assert found["numbers"] == found["distinct_numbers"] == pytest.approx(math.log1p(3))
    assert (found["fractions"], found["percents"], found["questions"]) == (1.0, 1.0, 1.0)
    assert found["largest_number"] == pytest.approx(math.log1p(20))


def test_the_shape_of_an_answer() -> None:
    shape = answer_shape("He has 3 and 4.", "3 + 4 = 8\nSo 8")
    found = dict(zip(ANSWER_SHAPE, shape, strict=True))

    assert (found["right_sums"], found["wrong_sums"], found["has_wrong_sum"]) == (0.0, 1.0, 1.0)
    assert found["prompt_numbers_used"] == 1.0
    assert found["numbers_from_prompt"] == 0.5
    assert (found["last_from_prompt"], found["last_said_before"]) == (0.0, 1.0)
    assert (found["ends_in_word"], found["ends_in_stop"], found["is_empty"]) == (1.0, 0.0, 0.0)


@given(st.text(), st.text())
def test_any_text_has_a_shape_of_finite_numbers(prompt: str, answer: str) -> None:
    query, whole = query_shape(prompt), answer_shape(prompt, answer)

    assert (len(query), len(whole)) == (len(QUERY_SHAPE), len(ANSWER_SHAPE))
    assert all(map(math.isfinite, [*query, *whole]))


def test_ngrams_are_of_words_and_of_pieces_inside_them() -> None:
    assert list(word_ngrams("The red, a DOOR")) == ["the", "red", "door", "the red", "red door",
                                                    "the red door"]  # fmt: skip
    assert list(char_ngrams("ab")) == [" a", "ab", "b ", " ab", "ab ", " ab "]


def test_buckets_are_the_same_everywhere() -> None:
    assert hashed(iter(["door", "door"])) == {0x8AE5542D % NUM_BUCKETS: 1.0 + math.log(2)}
