"""Asks both tiers every question that the journal does not know, several at a time, and grades."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from edge_llm.errors import BudgetExceededError, DataSetError, EdgeLLMError
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.recording import Recording, Said
from edge_llm.evaluate.replay.asking import is_lasting
from edge_llm.evaluate.replay.journal import Journal
from edge_llm.evaluate.replay.judges import Judge, ModelJudge, Verdict, answer_key

T = TypeVar("T")

MAX_FAILURES = 5
"""In a row, after which a run stops: what is wrong will not mend itself."""

Ask = Callable[[Example], Awaitable[Said]]


@dataclass(slots=True)
class Side:
    """One tier in a run."""

    name: str
    asked: str
    """Of the journal: who is asked, and how."""
    ask: Ask
    concurrency: int = 4
    worst_usd: Callable[[Example], float] = lambda example: 0.0
    """The most that one question can cost there."""
    answers: dict[str, Said] = field(default_factory=dict)
    """By key of the question; what the journal knows, and what came since."""


@dataclass(slots=True)
class Purse:
    """What may be spent in one run, and what was. Belongs to one event loop."""

    limit_usd: float | None = None
    spent_usd: float = 0.0
    held_usd: float = 0.0
    """For questions that are under way."""

    def hold(self, usd: float) -> None:
        """Set aside what a question may cost.

        Raises:
            BudgetExceededError: that could pass the limit.
        """
        needed = self.spent_usd + self.held_usd + usd
        if self.limit_usd is not None and needed > self.limit_usd:
            raise BudgetExceededError(
                f"${self.spent_usd:.4f} were spent, and the next question may cost ${usd:.4f}",
                limit="--max-cost-usd",
                allowed=self.limit_usd,
                spent=self.spent_usd + self.held_usd,
                requested=usd,
                resets_at=None,
            )
        self.held_usd += usd

    def settle(self, held_usd: float, spent_usd: float) -> None:
        """Count what a question did cost."""
        self.held_usd -= held_usd
        self.spent_usd += spent_usd


class Run:
    """One pass over a data set. A cancelled run has lost nothing that was answered."""

    def __init__(
        self,
        journal: Journal,
        sides: Sequence[Side],
        purse: Purse | None = None,
        progress: Callable[[str], None] = lambda side: None,
    ) -> None:
        """`progress` is told the side's name after each answer, also of those known before."""
        self._journal = journal
        self._sides = sides
        self.purse = purse or Purse()
        self._progress = progress
        self._failures: dict[str, int] = {}
        self._stopped: EdgeLLMError | None = None
        """Why nothing more is asked; what is under way may end, for it is paid for."""

    async def answer_all(self, examples: Sequence[Example]) -> None:
        """Have every side's answer to every question in `Side.answers` and in the journal.

        Raises:
            EdgeLLMError: a side cannot go on; what was answered is kept.
        """
        jobs = []
        for side in self._sides:
            side.answers = self._journal.answers(side.asked)
            gate = asyncio.Semaphore(side.concurrency)
            unique = {example.key: example for example in examples}
            jobs += [self._answer(side, one, gate) for one in unique.values()]
        await gather(jobs)
        if self._stopped is not None:
            raise self._stopped

    async def _answer(self, side: Side, example: Example, gate: asyncio.Semaphore) -> None:
        if example.key not in side.answers:
            async with gate:  # held until it is on the disk: no more can be lost than are asked
                said = None if self._stopped else await self._ask(side, example)
                if said is None:
                    return
                await asyncio.to_thread(self._journal.put, side.asked, example.key, said)
            side.answers[example.key] = said
        self._progress(side.name)

    async def _ask(self, side: Side, example: Example) -> Said | None:
        """The answer; None where there is none."""
        try:
            said = await self._ask_paid(side, example)
        except EdgeLLMError as error:
            self._failures[side.name] = self._failures.get(side.name, 0) + 1
            if is_lasting(error) or self._failures[side.name] >= MAX_FAILURES:
                self._stopped = self._stopped or error
            return None
        self._failures[side.name] = 0
        return said

    async def _ask_paid(self, side: Side, example: Example) -> Said:
        held_usd = side.worst_usd(example)
        self.purse.hold(held_usd)
        spent_usd = held_usd  # of a question that is cut off nobody knows what it cost
        try:
            said = await side.ask(example)
            spent_usd = said.cost_usd
        except EdgeLLMError:
            spent_usd = 0.0
            raise
        finally:
            self.purse.settle(held_usd, spent_usd)
        return said


def require_grades(examples: Iterable[Example], judge: Judge | None) -> None:
    """Nothing, where every question can be graded.

    Raises:
        DataSetError: one has no reference, and there is no judge.
        ConfigError: one has no rubric for the model that judges.
    """
    for example in examples:
        if example.grader is not None and example.rubric is None:
            continue
        if judge is None:
            raise _ungraded(example)
        if isinstance(judge, ModelJudge):
            judge.require_rubric(example)


def _ungraded(example: Example) -> DataSetError:
    return DataSetError(
        f"line {example.line}: nothing tells whether question {example.id!r} is answered",
        hint="a column such as 'exact', or --judge module:function, or --judge cloud",
    )


async def grade_all(
    journal: Journal,
    examples: Sequence[Example],
    answers: Mapping[str, Said],
    judge: Judge | None,
    *,
    concurrency: int = 4,
    purse: Purse | None = None,
) -> dict[str, float]:
    """How right each answer is, by the question's id; questions without an answer are left out.

    Raises:
        DataSetError: a question has neither a reference nor a judge.
        EdgeLLMError: the judge cannot tell.
    """
    gate = asyncio.Semaphore(concurrency)
    grades: dict[str, float] = {}

    async def one(example: Example) -> None:
        said = answers[example.key]
        if said.error is not None:
            grades[example.id] = 0.0
        elif example.grader is not None and example.rubric is None:
            grades[example.id] = example.grader.grade(said.reply)
        elif judge is None:
            raise _ungraded(example)
        else:
            async with gate:
                grades[example.id] = (await _judged(journal, judge, example, said, purse)).grade

    await gather([one(example) for example in examples if example.key in answers])
    return grades


async def _judged(
    journal: Journal, judge: Judge, example: Example, said: Said, purse: Purse | None
) -> Verdict:
    key = answer_key(example, said)
    known = await asyncio.to_thread(journal.grade, judge.name, key)
    if known is not None:
        return Verdict(*known)
    verdict = await _paid(judge, example, said, purse or Purse())
    await asyncio.to_thread(journal.put_grade, judge.name, key, *verdict)
    return verdict


async def _paid(judge: Judge, example: Example, said: Said, purse: Purse) -> Verdict:
    held_usd = judge.worst_usd(example, said)
    purse.hold(held_usd)
    spent_usd = held_usd  # of a judgement that is cut off nobody knows what it cost
    try:
        verdict = await judge.judge(example, said)
        spent_usd = verdict.cost_usd
    finally:
        purse.settle(held_usd, spent_usd)
    return verdict


async def gather(jobs: Sequence[Awaitable[T]]) -> list[T]:
    """All results; the first error ends the others, and comes when they have ended.

    Raises:
        EdgeLLMError: that error.
    """
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def record(
    examples: Sequence[Example],
    local: Mapping[str, Said],
    local_grades: Mapping[str, float],
    cloud: Mapping[str, Said],
    cloud_grades: Mapping[str, float],
) -> list[Recording]:
    """The questions that were answered here, in their order; without cloud where that was not."""
    return [
        Recording(
            id=example.id,
            local=local[example.key],
            local_correct=local_grades[example.id],
            cloud=cloud.get(example.key),
            cloud_correct=cloud_grades.get(example.id),
            prompt=example.prompt,
            task=example.task,
            group=example.group,
            weight=example.weight,
        )
        for example in examples
        if example.id in local_grades
    ]
