"""A slice of the benchmark on the shipped files: the model is what its card says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts.builtin.evaluate import SUITES, Asked, Examiner, auroc, run_suite
from scripts.builtin.plain import COMMANDS, REFUSALS

NUM_CASES = 60


@pytest.fixture(scope="module", params=["builtin:gguf", "builtin:onnx"])
def examiner(request: pytest.FixtureRequest) -> Iterator[Examiner]:
    opened = Examiner(request.param)
    yield opened
    opened.close()


# Well below the card: with so few cases the share varies by some points, and a model whose
# files were mixed up or whose template does not match falls far below.
@pytest.mark.parametrize(
    ("suite", "least"),
    [
        ("test patterns", 0.75),
        ("test patterns, 15 % word errors", 0.5),
        ("unseen names", 0.75),
        ("two commands", 0.65),
        ("listed home", 0.5),
        ("follow-ups and corrections", 0.5),
        ("tool results", 0.9),
        ("out of scope, test lines", 0.75),
    ],
)
def test_it_is_about_as_often_right_as_its_card_says(
    examiner: Examiner, suite: str, least: float
) -> None:
    cases = run_suite(examiner, SUITES[suite], NUM_CASES, seed=7)

    assert sum(case.is_right for case in cases) / len(cases) >= least
    assert sum(case.is_valid for case in cases) / len(cases) >= 0.95


def test_its_first_token_tells_a_home_from_everything_else(examiner: Examiner) -> None:
    home, elsewhere = (
        [case.reply.unsure for case in run_suite(examiner, SUITES[suite], 2 * NUM_CASES, seed=7)]
        for suite in ("test patterns", "out of scope, test lines")
    )

    assert auroc(elsewhere, home) >= 0.93


def test_it_tells_sentences_written_by_hand_apart(examiner: Examiner) -> None:
    """Nobody drew these from the grammar."""
    home = examiner.ask(Asked([{"role": "user", "content": case.asked}]) for case in COMMANDS)
    elsewhere = examiner.ask(Asked([{"role": "user", "content": text}]) for text in REFUSALS)

    assert auroc([r.unsure for r in elsewhere], [r.unsure for r in home]) >= 0.9


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    assert auroc([3.0, 4.0], [1.0, 2.0]) == 1.0
    assert auroc([1.0], [1.0]) == 0.5
    assert auroc([1.0, 3.0], [2.0, 2.0, 0.0]) == (1 + 3) / 6
