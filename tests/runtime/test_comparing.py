from pathlib import Path

import numpy as np
import pytest

from edge_llm.runtime.arms import DEFAULT_ARM, Arm, assign_arm, share_of
from edge_llm.runtime.comparing import compare_arms, interval_of, summarise_arms, summarise_shadows
from edge_llm.runtime.observations import (
    AnswerRow,
    ShadowOutcome,
    note_shadow,
    read_answers,
    read_shadows,
)

ARMS = ({"name": "a", "share": 0.2, "threshold": 0.3}, {"name": "b", "share": 0.3})


def test_requests_are_given_to_arms_by_their_shares_and_always_to_the_same() -> None:
    ids = [str(number) for number in range(4000)]
    found = [assign_arm(ARMS, one) for one in ids]
    counts = {name: sum(arm is not None and arm.name == name for arm in found) for name in "ab"}

    assert found == [assign_arm(ARMS, one) for one in ids]
    assert counts["a"] / 4000 == pytest.approx(0.2, abs=0.03)
    assert counts["b"] / 4000 == pytest.approx(0.3, abs=0.03)
    assert Arm("a", 0.2, 0.3, None) in found
    assert Arm(DEFAULT_ARM, 0.5) in found
    assert assign_arm((), "x") is None


def test_purposes_draw_independently() -> None:
    pairs = np.array([(share_of(str(i), "arm"), share_of(str(i), "shadow")) for i in range(2000)])

    assert abs(float(np.corrcoef(pairs.T)[0, 1])) < 0.08
    assert pairs.min() >= 0.0
    assert pairs.max() < 1.0


def test_the_interval_shrinks_and_of_nothing_says_nothing() -> None:
    few, many = (interval_of([0.0, 1.0] * n) for n in (20, 2000))

    assert interval_of([]) == (0.0, 1.0)
    assert many[1] - many[0] < (few[1] - few[0]) / 4
    assert many[0] < 0.5 < many[1]


def test_an_arm_that_keeps_more_and_agrees_no_less_is_better() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(3000):
        arm = "bold" if number % 2 else "default"
        escalated = bool(rng.random() < (0.2 if arm == "bold" else 0.7))
        rows.append(row(arm, escalated=escalated, agreement=None if escalated else 1.0))

    (verdict,) = compare_arms(rows)

    assert (verdict.name, verdict.state) == ("bold", "better")
    assert 0.0 < verdict.kept_more[0] < 0.5 < verdict.kept_more[1]
    assert compare_arms([one for one in rows if one.arm == "bold"]) == []


def test_an_arm_that_keeps_what_it_should_not_is_found_out_by_the_few_that_are_checked() -> None:
    rng = np.random.default_rng(1)
    rows = []
    for number in range(20_000):
        arm = "bold" if number % 2 else "default"
        escalated = bool(rng.random() < (0.1 if arm == "bold" else 0.8))
        is_checked = not escalated and rng.random() < 0.2
        agreement = float(rng.random() < 0.3) if is_checked else None
        rows.append(row(arm, escalated=escalated, agreement=agreement, seen_with=0.2))

    (verdict,) = compare_arms(rows)

    assert verdict.state == "harmful"


def test_keeping_more_proves_nothing_while_nothing_is_checked() -> None:
    rows = [row("bold" if i % 2 else "default", escalated=not i % 2) for i in range(2000)]

    (verdict,) = compare_arms(rows)

    assert verdict.kept_more[0] > 0.5
    assert verdict.state == "continue"


def row(
    arm: str | None,
    *,
    escalated: bool,
    agreement: float | None = None,
    seen_with: float = 1.0,
) -> AnswerRow:
    return AnswerRow(0.0, arm, 0.5, escalated, 0.4, 0.01, 2.0, agreement, seen_with)


def test_arms_are_summed_up() -> None:
    rows = [
        row("bold", escalated=False, agreement=1.0),
        row("bold", escalated=False),
        row("default", escalated=True),
        row(None, escalated=True),
    ]

    default, bold = summarise_arms(rows)

    assert (default.name, default.num_answers, default.escalated) == ("default", 1, 1.0)
    assert (bold.escalated, bold.num_shadows, bold.agreement) == (0.0, 1, 1.0)
    assert default.agreement is None
    assert bold.to_dict()["cost_usd"] == pytest.approx(0.01)


def shadow(trace_id: str, agreement: float) -> ShadowOutcome:
    return ShadowOutcome(trace_id, "m", "t", "s", 0.9, None, 0.1, agreement, 0.25, {"a": 1.0})


def test_shadows_are_kept_once_each(tmp_path: Path) -> None:
    assert read_shadows(tmp_path) == []
    assert read_answers(tmp_path) == []
    for trace_id, agreement in (("x", 1.0), ("y", 0.0), ("x", 0.5)):
        note_shadow(tmp_path, shadow(trace_id, agreement))

    found = read_shadows(tmp_path)
    (summary,) = summarise_shadows(found)

    assert found == [shadow("x", 1.0), shadow("y", 0.0)]
    assert (summary.model, summary.task, summary.count) == ("m", "t", 2)
    assert (summary.agreement, summary.cost_usd) == (0.5, 0.5)


def test_an_arm_with_few_answers_keeps_at_most_all_of_them_more() -> None:
    rows = [row("bold", escalated=False), row("default", escalated=False)]

    (verdict,) = compare_arms(rows)

    assert verdict.kept_more == (-1.0, 1.0)
