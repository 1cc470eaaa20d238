import pytest

from edge_llm.routing.base import EscalationReason, Refusal
from edge_llm.routing.deferral import RULES, DraftFacts, is_checkpoint, judge
from edge_llm.routing.loops import is_looping

R = EscalationReason
GIVEN_UP: list[tuple[DraftFacts, Refusal]] = [
    (
        DraftFacts("a", 1, score=0.4, threshold=0.5, signal="s"),
        Refusal(R.LOW_CONFIDENCE, 0.4, 0.5, "s"),
    ),
    (
        DraftFacts("", 1, score=0.1, threshold=0.5, signal="unsure_token", said_unsure=True),
        Refusal(R.UNSURE, 0.1, 0.5, "unsure_token"),
    ),
    (DraftFacts(" \n", 1, finish_reason="stop"), Refusal(R.EMPTY, 0, 1, "characters")),
    (DraftFacts("so", 40, finish_reason="length"), Refusal(R.TRUNCATED, 40, None, "tokens")),
    (DraftFacts("and then " * 9, 20), Refusal(R.LOOP)),
    (DraftFacts("x", 1, finish_reason="stop", is_valid=False), Refusal(R.VALIDATOR)),
    (DraftFacts("x", 1, expected_s=9.0, time_left_s=8.0), Refusal(R.DEADLINE, 9.0, 8.0, "seconds")),
]  # fmt: skip

KEPT = [
    DraftFacts(),
    DraftFacts("a", 1, score=0.5, threshold=0.5, signal="s"),
    DraftFacts("", 3, has_calls=True, finish_reason="tool_calls"),
    DraftFacts("done", 2, finish_reason="stop", expected_s=1.0, time_left_s=1.0),
    DraftFacts("a", 1, expected_s=1.0),
]


@pytest.mark.parametrize(("draft", "refusal"), GIVEN_UP)
def test_a_draft_is_given_up_with_its_reason(draft: DraftFacts, refusal: Refusal) -> None:
    assert judge(draft) == refusal


@pytest.mark.parametrize("draft", KEPT, ids=str)
def test_a_draft_is_kept(draft: DraftFacts) -> None:
    assert judge(draft) is None


def test_the_order_of_the_rules_is_configuration_and_a_rule_left_out_is_not_asked() -> None:
    both = DraftFacts("", 0, finish_reason="length")

    assert judge(both, tuple(RULES)) == Refusal(R.EMPTY, 0, 1, "characters")
    assert judge(both, ("truncated",)) == Refusal(R.TRUNCATED, 0, None, "tokens")
    assert judge(both, ()) is None


def test_checkpoints_are_met_once_each_however_many_tokens_a_step_brings() -> None:
    met = [n for n in range(1, 300) if is_checkpoint(n - 1, n)]

    assert met == [1, 8, 16, 32, 64, 128, 256]
    assert is_checkpoint(10, 40)
    assert not is_checkpoint(1, 7)
    assert not is_checkpoint(16, 16)


@pytest.mark.parametrize("text", ["no " * 30, "I am a model. " * 5, "ab" * 40])
def test_circles_are_noticed(text: str) -> None:
    assert is_looping("It began well. " + text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "very very very good",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "=" * 200,
        "1. one\n2. two\n3. three\n4. four\n5. five\n6. six\n7. seven\n8. eight\n",
        " " * 300,
    ],
)
def test_lists_and_rules_are_no_circles(text: str) -> None:
    assert not is_looping(text)
