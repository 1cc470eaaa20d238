import pytest

from edge_llm.confidence.answer_start import AnswerStart


def begins(*pieces: str) -> list[str]:
    """The pieces of which it is said that they begin the answer."""
    start = AnswerStart()
    return [piece for piece in pieces if start.add(piece)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (("Paris", " is", " it"), ["Paris"]),
        (("\n", " ", "**", "Paris"), ["Paris"]),
        (("The", " answer", " is", ":", " 42", "."), ["The", " 42"]),
        (("Sure", ",", " the", " lamp"), ["Sure", " the"]),
        (("Okay", "."), ["Okay"]),
        (("The answer is 42",), ["The answer is 42"]),
        (('{"', "answer", '":', ' "', "Paris", '"}'), ["Paris"]),
        (('{"a": ', "{", '"b', '": [', "3", ", 4]}}"), ["3"]),
        (("[", '"', "x", '"]'), ["x"]),
        (('<tool_call>{"', "name", '": "', "light", '_on"'), ["light"]),
        (('{"a\\"b": ', '"c"}'), ['"c"}']),
        (("", "...", "!"), []),
        (("東京",), ["東京"]),
    ],
)
def test_the_first_piece_with_content_begins_the_answer(
    pieces: tuple[str, ...], expected: list[str]
) -> None:
    assert begins(*pieces) == expected


def test_after_an_opening_s_length_nothing_changes_any_more() -> None:
    assert begins("So " * 20, "the answer is ", "42") == ["So " * 20]
