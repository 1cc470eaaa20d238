"""Recordings for the two commands: read from a file, or made by asking the tiers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_llm.cli.evaluation.allow import allow
from edge_llm.cli.evaluation.options import DataOptions, RunOptions
from edge_llm.cli.evaluation.progress import open_progress
from edge_llm.cli.evaluation.writable import writable
from edge_llm.config import state_folder
from edge_llm.evaluate.data.columns import parse_mapping
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.data.examples import DataSet, read_data
from edge_llm.evaluate.recorded import read_recorded, write_recorded
from edge_llm.evaluate.recording import Recording
from edge_llm.evaluate.replay.journal import JOURNAL_FILE, Journal, open_journal
from edge_llm.evaluate.replay.judges import Judge
from edge_llm.evaluate.replay.run import Purse, Run, grade_all, record, require_grades
from edge_llm.evaluate.replay.session import Session, open_session


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run had in hand when everything was answered."""

    session: Session
    journal: Journal
    judge: Judge | None
    purse: Purse
    examples: Sequence[Example]


After = Callable[[Asked, list[Recording]], Awaitable[list[Recording]]]


@dataclass(frozen=True, slots=True)
class Obtained:
    """Recordings, and what was spent for them in this run."""

    recordings: list[Recording]
    spent_usd: float = 0.0
    num_missing: int = 0
    """Questions that a tier did not answer this time."""


async def _as_they_are(asked: Asked, recordings: list[Recording]) -> list[Recording]:
    return recordings


def obtain(
    data: DataOptions,
    options: RunOptions,
    after: After = _as_they_are,
    *,
    refines: bool = False,
    check: Callable[[Sequence[Example]], object] = list,
) -> Obtained:
    """The recordings of a data set; `after` may ask more while the tiers are open.

    `check` refuses questions before anybody is asked.

    Raises:
        DataSetError: the file cannot be read.
        EdgeLLMError: a tier cannot go on; what was answered is kept.
    """
    mapping = parse_mapping(data.columns)
    save = None if options.save is None else writable(options.save, "--save FILE names another")
    if data.recorded:
        found = read_recorded(data.file, mapping, limit=data.limit)
        _tell_ignored(found.ignored)
        obtained = Obtained(found.recordings)
    else:
        read = read_data(data.file, mapping, limit=data.limit)
        _tell_ignored(read.ignored)
        check(read.examples)
        obtained = _ask(read, options, after, refines)
    if save is not None:
        write_recorded(save, obtained.recordings)
    return obtained


def journal_path(options: RunOptions) -> Path:
    """Where the answers of a run are kept."""
    if options.journal is not None:
        return Path(options.journal).expanduser()
    return state_folder(options.config()) / JOURNAL_FILE


def _tell_ignored(columns: Sequence[str]) -> None:
    if columns:
        print(f"columns that mean nothing here: {', '.join(columns)}", file=sys.stderr)


def _ask(read: DataSet, options: RunOptions, after: After, refines: bool) -> Obtained:
    path = journal_path(options)
    try:
        return asyncio.run(_asked(read, options, path, after, refines))
    except KeyboardInterrupt:
        print(
            f"stopped; what was answered is kept in {path}: the same command goes on from there",
            file=sys.stderr,
        )
        raise


async def _asked(
    read: DataSet, options: RunOptions, path: Path, after: After, refines: bool
) -> Obtained:
    examples = read.examples
    loaded = open_session(options.config(), options.manner)
    with open_journal(path) as journal:
        async with loaded as session:
            judge = session.judge(options.judge, options.rubric)
            require_grades(examples, judge)
            if not options.resume:
                session.forget(journal, examples)
            is_model = options.judge == "cloud"
            allow(session.estimate(journal, examples, is_model, refines=refines), options)
            purse = Purse(options.max_cost_usd)
            asked = Asked(session, journal, judge, purse, examples)
            recordings = await _record(asked, options.concurrency)
            recordings = await after(asked, recordings)
    num_missing = len(examples) - _num_complete(session, recordings)
    return Obtained(recordings, purse.spent_usd, num_missing)


async def _record(asked: Asked, concurrency: int) -> list[Recording]:
    session, examples = asked.session, asked.examples
    sides = [session.local_side(), session.cloud_side(concurrency)]
    there = [side for side in sides if side is not None]
    total = len({one.key for one in examples})
    with open_progress({side.name: total for side in there}) as told:
        await Run(asked.journal, there, asked.purse, told).answer_all(examples)
    local = there[0].answers
    cloud = there[1].answers if len(there) > 1 else {}
    grades = [
        await grade_all(asked.journal, examples, answers, asked.judge, purse=asked.purse)
        for answers in (local, cloud)
    ]
    return record(examples, local, grades[0], cloud, grades[1])


def _num_complete(session: Session, recordings: Sequence[Recording]) -> int:
    has_cloud = session.cloud is not None
    return sum(one.cloud is not None or not has_cloud for one in recordings)
