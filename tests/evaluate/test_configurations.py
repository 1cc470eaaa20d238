"""What configurations would have done, on recordings whose every second is known."""

from __future__ import annotations

import numpy as np
import pytest

from edge_llm.confidence.guarantees.goals import AccuracyLoss
from edge_llm.errors import CalibrationDataError
from edge_llm.evaluate.comparing import compare
from edge_llm.evaluate.configurations import (
    Decided,
    Plan,
    Played,
    cloud_only,
    decide,
    folds,
    hybrid,
    local_only,
    race,
    refined,
)
from edge_llm.evaluate.recording import Look, Recording, Said

LOOKS = {
    "first": Look({"sure": 0.5}, 1, 0.1),
    "8": Look({"sure": 0.5}, 8, 0.5),
    "end": Look({"sure": 0.5}, 20, 1.0),
}


def recording(
    name: str, *, ttft_s: float = 0.3, local: float = 0.0, cloud: float = 1.0
) -> Recording:
    return Recording(
        id=name,
        local=Said("here", completion_tokens=20, e2e_s=1.0, looks=LOOKS),
        local_correct=local,
        cloud=Said("there", cost_usd=0.01, ttft_s=ttft_s, e2e_s=2.0),
        cloud_correct=cloud,
        refined=Said("better", cost_usd=0.03, e2e_s=3.0),
        refined_correct=0.5,
        prompt=name,
    )


def decided(kept: list[bool], where: list[str], first: float = 0.6) -> Decided:
    count = len(kept)
    scores = {name: np.full(count, first) for name in LOOKS}
    return Decided(np.array(kept), where, scores, np.full(count, 0.5), [])


def facts(played: Played) -> tuple[object, ...]:
    return (
        played.correct.tolist(), played.escalated.tolist(),
        np.round(played.cost_usd, 6).tolist(), np.round(played.latency_s, 6).tolist(),
        played.local_tokens.tolist(),
    )  # fmt: skip


def test_local_only_costs_nothing_and_cloud_only_writes_no_draft() -> None:
    both = [recording("a")]

    assert facts(local_only(both)) == ([0.0], [0.0], [0.0], [1.0], [20.0])
    assert facts(cloud_only(both)) == ([1.0], [1.0], [0.01], [2.0], [0.0])


def test_a_draft_that_is_given_up_early_costs_what_it_had_taken_until_then() -> None:
    rows = [recording("kept", local=1.0), recording("early"), recording("late")]

    played = hybrid(rows, decided([True, False, False], ["end", "8", "end"]), "h")

    assert facts(played) == (
        [1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.01, 0.01], [1.0, 2.5, 3.0], [20.0, 8.0, 20.0]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ttft_s", "first", "expected"),
    [
        # Doubtful at 0.1 s, the cloud's first word at 0.4 s, before the draft's end.
        (0.3, 0.6, ([1.0], [1.0], [0.01], [2.1], [20.0])),
        # Its first word comes at 1.1 s: the draft has ended, and the race was paid in vain.
        (1.0, 0.6, ([0.0], [0.0], [0.01], [1.0], [20.0])),
        # Sure enough not to race at all.
        (0.3, 0.9, ([0.0], [0.0], [0.0], [1.0], [20.0])),
    ],
)
def test_who_wins_a_race_is_what_the_recorded_seconds_say(
    ttft_s: float, first: float, expected: tuple[object, ...]
) -> None:
    played = race([recording("a", ttft_s=ttft_s)], decided([True], ["end"], first), 0.2, "r")

    assert facts(played) == expected


def test_what_is_escalated_is_sooner_there_for_a_race_that_had_begun() -> None:
    played = race([recording("a")], decided([False], ["end"]), 0.2, "r")

    assert facts(played) == ([1.0], [1.0], [0.01], [2.1], [20.0])


def test_a_draft_that_is_improved_was_written_to_its_end() -> None:
    rows = [recording("kept"), recording("improved")]

    played = refined(rows, decided([True, False], ["end", "end"]), "d")

    assert facts(played) == ([0.0, 0.5], [0.0, 1.0], [0.0, 0.03], [1.0, 4.0], [20.0, 20.0])


def test_an_answer_that_was_never_improved_cannot_be_played() -> None:
    bare = Recording("a", Said(), 0.0, Said(), 1.0)

    with pytest.raises(CalibrationDataError, match="no refined answer"):
        refined([bare], decided([False], ["end"]), "d")


def test_rows_of_one_prompt_are_in_one_fold() -> None:
    rows = [recording(f"prompt {n % 20}") for n in range(60)]

    for fold in folds(rows, 0):
        inside = {rows[index].prompt for index in fold}
        outside = {row.prompt for index, row in enumerate(rows) if index not in set(fold.tolist())}
        assert not inside & outside


def test_policies_keep_their_goal_on_questions_that_they_never_saw() -> None:
    rng = np.random.default_rng(3)
    rows = []
    for number, sure in enumerate(rng.beta(2.0, 0.7, 1500)):
        looks = {"end": Look({"sure": float(sure)}, 20, 1.0)}
        right = float(rng.random() < sure)
        rows.append(Recording(str(number), Said(looks=looks), right, Said(cost_usd=1.0), 1.0))

    (found,) = decide(rows, [Plan(AccuracyLoss(epsilon=0.05))])

    lost = np.mean([(1 - r.local_correct) * k for r, k in zip(rows, found.kept, strict=True)])
    assert found.infeasible == []
    assert found.kept.mean() > 0.3
    # The certificate's bound, plus three standard errors of what 1,500 rows can show.
    assert lost < 0.05 + 3 * (0.05 / 1500) ** 0.5


def test_a_comparison_is_paired() -> None:
    rng = np.random.default_rng(0)
    rows = [recording(str(n), local=float(rng.random() < 0.5)) for n in range(200)]
    base, same = local_only(rows), local_only(rows)

    one, other = compare(rows, [base, same], base)

    assert one.difference is None
    assert other.difference == (0.0, 0.0, 0.0)
    assert other.accuracy.low < other.accuracy.value < other.accuracy.high
