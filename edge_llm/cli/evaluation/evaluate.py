"""`edge-llm evaluate`: ways to run two tiers, side by side on the same questions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from edge_llm.cli.evaluation.obtain import Asked, Obtained, obtain
from edge_llm.cli.evaluation.options import DataOptions, RunOptions
from edge_llm.cli.evaluation.progress import open_progress
from edge_llm.cli.evaluation.show import show_compared
from edge_llm.cli.table import print_json
from edge_llm.confidence.guarantees.goals import AccuracyLoss
from edge_llm.errors import CalibrationDataError, ConfigError
from edge_llm.evaluate.comparing import Compared, compare
from edge_llm.evaluate.configurations import (
    Plan,
    Played,
    cloud_only,
    decide,
    hybrid,
    hybrid_name,
    local_only,
    race,
    refined,
)
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.recording import Recording
from edge_llm.evaluate.replay.run import Run, grade_all
from edge_llm.evaluate.replay.session import REFINED
from edge_llm.runtime.judging import refinement
from edge_llm.runtime.outgoing import Extra

EPSILONS = (0.01, 0.02, 0.05)
MAIN_EPSILON = 0.02
"""Of races and refined drafts, where it is among those that are compared."""


def run(
    data: DataOptions,
    options: RunOptions,
    *,
    epsilons: tuple[float, ...],
    races: bool,
    refines: bool,
    as_json: bool,
) -> None:
    """Obtain outcomes, play every configuration, compare, show.

    Raises:
        DataSetError: the data cannot be read.
        CalibrationDataError: too few questions that both tiers answered.
        EdgeLLMError: a tier cannot go on.
    """
    wanted = Wanted(
        tuple(AccuracyLoss(epsilon=one) for one in epsilons or EPSILONS),
        races,
        refines,
        options.config().escalation.band,
    )

    async def refine(asked: Asked, recordings: list[Recording]) -> list[Recording]:
        if not refines or asked.session.cloud is None:
            return recordings
        both = both_answered(recordings)
        (decided,) = decide(both, [Plan(wanted.main, max_lost=0.0)], options.seed)
        escalated = {one.id for one, kept in zip(both, decided.kept, strict=True) if not kept}
        return await add_refined(asked, recordings, escalated, options.concurrency)

    obtained = obtain(data, options, refine, refines=refines)
    recordings = both_answered(obtained.recordings)
    played = play(recordings, wanted, options.seed)
    found = compare(recordings, played, played[1], seed=options.seed)
    if as_json or not sys.stdout.isatty():
        print_json(_to_record(found, obtained, len(recordings)))
    else:
        show_compared(found)


def both_answered(recordings: Sequence[Recording]) -> list[Recording]:
    """Those that can be compared.

    Raises:
        ConfigError: there is none.
    """
    both = [one for one in recordings if one.cloud_correct is not None]
    if not both:
        raise ConfigError(
            "there is nothing to compare with: no question was answered by a cloud",
            hint="--cloud-url and --cloud-model, or a tier in the configuration",
        )
    return both


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be compared."""

    goals: tuple[AccuracyLoss, ...]
    races: bool = True
    refines: bool = True
    band: float = 0.2
    """How far above its threshold a draft is raced."""

    @property
    def main(self) -> AccuracyLoss:
        """The goal of races and of refined drafts."""
        usual = (goal for goal in self.goals if goal.epsilon == MAIN_EPSILON)
        return next(usual, self.goals[0])


def play(recordings: Sequence[Recording], wanted: Wanted, seed: int = 0) -> list[Played]:
    """Local only, cloud only, and every configuration that the recordings allow."""
    main = wanted.main
    plans = [*(Plan(goal) for goal in wanted.goals), Plan(main, max_lost=0.0)]
    *early, at_end = decide(recordings, plans, seed)
    decided = dict(zip((goal.epsilon for goal in wanted.goals), early, strict=True))
    played = [local_only(recordings), cloud_only(recordings)]
    for goal in wanted.goals:
        played.append(hybrid(recordings, decided[goal.epsilon], hybrid_name(goal)))
    if wanted.races:
        name = f"race, loss ≤ {main.epsilon:g}"
        if any(one.cloud is not None and one.cloud.ttft_s is not None for one in recordings):
            played.append(race(recordings, decided[main.epsilon], wanted.band, name))
        else:
            print(f"{name}: left out, no times are recorded", file=sys.stderr)
    if wanted.refines:
        name = f"draft refined, loss ≤ {main.epsilon:g}"
        try:
            played.append(refined(recordings, at_end, name))
        except CalibrationDataError as error:
            print(f"{name}: left out, {error.message}", file=sys.stderr)
    return played


async def add_refined(
    asked: Asked, recordings: Sequence[Recording], wanted: set[str], concurrency: int
) -> list[Recording]:
    """Have the cloud improve the drafts of some questions; as the runtime would ask it to."""
    drafts = {one.id: one.local.text for one in recordings}

    def extra(example: Example) -> Extra:
        return refinement(drafts[example.id])

    side = asked.session.cloud_side(concurrency, extra, REFINED)
    if side is None:
        return list(recordings)
    chosen = [one for one in asked.examples if one.id in wanted]
    with open_progress({side.name: len({one.key for one in chosen})}) as told:
        await Run(asked.journal, [side], asked.purse, told).answer_all(chosen)
    grades = await grade_all(asked.journal, chosen, side.answers, asked.judge, purse=asked.purse)
    keys = {one.id: one.key for one in chosen}
    return [
        replace(one, refined=side.answers[keys[one.id]], refined_correct=grades[one.id])
        if one.id in grades
        else one
        for one in recordings
    ]


def _to_record(found: Sequence[Compared], obtained: Obtained, compared: int) -> dict[str, Any]:
    return {
        "num_questions": len(obtained.recordings),
        "num_compared": compared,
        "spent_usd": obtained.spent_usd,
        "baseline": found[1].name,
        "configurations": [one.to_dict() for one in found],
    }
