import pytest

from edge_llm.confidence.agreement import Said, agreement, loss, mean_agreement
from edge_llm.confidence.verbalised import read_verbalised
from edge_llm.types import ToolCall


def call(name: str, **arguments: object) -> Said:
    return Said("done", (ToolCall("1", name, arguments),))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Said("Paris."), Said(" paris"), 1.0),
        (Said("so it is 1,200"), Said("2 * 600 = 1200.0"), 1.0),
        (Said("it is 7"), Said("it is 8"), 0.0),
        (Said("a red house"), Said("a blue house"), 2 / 3),
        (Said("yes"), Said("no"), 0.0),
        (Said(""), Said(""), 1.0),
        (Said(""), Said("yes"), 0.0),
        (call("on", room="hall"), call("on", room="hall"), 1.0),
        (call("on", room="hall"), call("on", room="den"), 0.0),
        (call("on"), Said("done"), 0.0),
    ],
)
def test_answers_agree_as_far_as_they_say_the_same(one: Said, other: Said, expected: float) -> None:
    assert agreement(one, other) == pytest.approx(expected)
    assert agreement(other, one) == pytest.approx(expected)


def test_agreement_with_several_is_averaged_and_with_none_unknown() -> None:
    assert mean_agreement(Said("7"), [Said("7"), Said("8")]) == 0.5
    assert mean_agreement(Said("7"), []) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is Paris. Confidence: 80%", 0.8),
        ('{"answer": "Paris", "confidence": 0.85}', 0.85),
        ("Confidence: 90/100", 0.9),
        ("confidence: 7/10", 0.7),
        ("I am 95% sure.", 0.95),
        ("confidence: 10%, no: confidence: 20%", 0.2),
        ("confidence: 400%", None),
        ("I have confidence in you", None),
        ("", None),
    ],
)
def test_a_stated_confidence_is_read(text: str, expected: float | None) -> None:
    assert read_verbalised(text) == expected


@pytest.mark.parametrize(
    ("kept", "other", "expected"),
    [
        (Said("Paris."), Said(" paris"), 0.0),
        (Said("it is 7"), Said("it is 8"), 1.0),
        (Said("yes"), Said("no"), 1.0),
        (call("on", room="hall"), call("on", room="den"), 1.0),
        (call("on"), Said("done"), 1.0),
        (Said("a red house"), Said("a blue house"), None),
        (Said("Good night."), Said("Sleep well!"), None),
        (Said("there are 7"), Said("several of them"), None),
    ],
)
def test_only_a_difference_that_is_certain_is_a_loss(
    kept: Said, other: Said, expected: float | None
) -> None:
    assert loss(kept, other) == expected
