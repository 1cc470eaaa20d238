"""A run over a scripted local model and a scripted cloud: what is kept, paid and resumed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_llm.config import load_config
from edge_llm.errors import BudgetExceededError, CloudAuthError, DataSetError
from edge_llm.evaluate.data.example import Example
from edge_llm.evaluate.graders import create_grader
from edge_llm.evaluate.outcomes import to_outcomes
from edge_llm.evaluate.recording import Said
from edge_llm.evaluate.replay.asking import Manner
from edge_llm.evaluate.replay.journal import Journal, open_journal
from edge_llm.evaluate.replay.run import Purse, Run, grade_all, record
from edge_llm.evaluate.replay.session import Session, open_session
from tests.support.cloud_server import CloudServer
from tests.support.hybrid import LOCAL, DoubtfulBackend, cloud
from tests.support.runtimes import SpokenBackend, local_model
from tests.support.serving import served

RIGHT = "say From the cloud.\nfinish stop\nusage 9 3\ndone"
PRICES = {"input_usd": 1000.0, "output_usd": 1000.0}


def question(number: int, exact: str = "From the cloud.") -> Example:
    return Example(
        id=str(number),
        messages=({"role": "user", "content": f"question {number}"},),
        line=number,
        grader=create_grader("exact", exact, {}),
    )


QUESTIONS = [question(n) for n in range(5)]


@asynccontextmanager
async def session(server: CloudServer, **changes: Any) -> AsyncIterator[Session]:
    backend = DoubtfulBackend("I do not know", lambda position: 0.9, unsure=0.4)
    config = load_config(
        {"tiers": [LOCAL, cloud(server, **changes)], "privacy": {"label": "allow"}}
    )
    loaded = open_session(config, Manner(max_tokens=64), lambda _: local_model(backend))
    async with loaded as opened:
        yield opened


async def answer(opened: Session, journal: Journal, purse: Purse | None = None) -> Run:
    remote = opened.cloud_side()
    assert remote is not None
    run = Run(journal, [opened.local_side(), remote], purse)
    await run.answer_all(QUESTIONS)
    return run


def test_both_tiers_are_asked_graded_and_recorded_with_features(tmp_path: Path) -> None:
    async def main() -> None:
        with CloudServer(RIGHT) as server, open_journal(tmp_path / "j.sqlite") as journal:
            async with session(server, prices=PRICES) as opened:
                await answer(opened, journal)
                local = journal.answers(opened.local_key)
                remote = journal.answers(opened.cloud_key("cloud"))
        grades = await grade_all(journal, QUESTIONS, local, None)
        cloud_grades = await grade_all(journal, QUESTIONS, remote, None)
        found = record(QUESTIONS, local, grades, remote, cloud_grades)

        assert [one.local_correct for one in found] == [0.0] * 5
        assert [one.cloud_correct for one in found] == [1.0] * 5
        assert list(found[0].local.looks) == ["first", "8", "end"]
        assert found[0].local.looks["first"].features["unsure_token"] == pytest.approx(0.6)
        assert found[0].local.looks["end"].num_tokens == found[0].local.completion_tokens
        assert found[0].cloud is not None
        assert found[0].cloud.cost_usd == pytest.approx(0.012)
        outcomes = to_outcomes(found)
        assert outcomes.checkpoints == ("first", "8", "end")
        assert outcomes.cloud_cost_usd is not None
        assert len(outcomes) == 5

    asyncio.run(main())


def test_our_own_server_is_a_cloud_like_any_other(tmp_path: Path) -> None:
    async def main(url: str) -> list[Said]:
        tiers = [LOCAL, {"name": "cloud", "base_url": f"{url}/v1", "model": "fake"}]
        config = load_config({"tiers": tiers, "privacy": {"label": "allow"}})
        backend = DoubtfulBackend("I do not know")
        loaded = open_session(config, Manner(max_tokens=64), lambda _: local_model(backend))
        with open_journal(tmp_path / "j.sqlite") as journal:
            async with loaded as opened:
                await answer(opened, journal)
                return list(journal.answers(opened.cloud_key("cloud")).values())

    with served(SpokenBackend("From the cloud.")) as url:
        said = asyncio.run(main(url))

    assert [one.text for one in said] == ["From the cloud."] * 5
    assert all(one.ttft_s is not None and one.completion_tokens for one in said)


def test_the_cloud_can_judge_both_tiers_with_a_rubric(tmp_path: Path) -> None:
    rubric = replace(QUESTIONS[0], grader=None, rubric="says where it is from")

    async def main() -> None:
        verdict = 'say {\\"score\\": 0.25}\nfinish stop\nusage 9 3\ndone'
        with CloudServer(verdict) as server, open_journal(tmp_path / "j.sqlite") as journal:
            async with session(server, prices=PRICES) as opened:
                judge = opened.judge("cloud", None)
                purse = Purse()
                answers = {rubric.key: Said("here")}
                for _ in range(2):
                    grades = await grade_all(journal, [rubric], answers, judge, purse=purse)
            assert grades == {rubric.id: 0.25}
            assert len(server.requests) == 1
            assert purse.spent_usd == pytest.approx(0.012)

    asyncio.run(main())


def test_what_was_answered_is_never_asked_again(tmp_path: Path) -> None:
    async def main() -> None:
        with CloudServer(RIGHT) as server:
            for _ in range(2):
                with open_journal(tmp_path / "j.sqlite") as journal:
                    async with session(server) as opened:
                        await answer(opened, journal)
            assert len(server.requests) == 5

    asyncio.run(main())


def test_the_features_are_those_that_the_runtime_would_see(tmp_path: Path) -> None:
    from tests.support.hybrid import hybrid_async

    async def main() -> None:
        backend = DoubtfulBackend("I do not know", lambda position: 0.9, unsure=0.4)
        with CloudServer(RIGHT) as server, open_journal(tmp_path / "j.sqlite") as journal:
            async with session(server) as opened:
                await answer(opened, journal)
                said = journal.answers(opened.local_key)[QUESTIONS[0].key]
        async with hybrid_async(backend) as (llm, _):
            kept = await llm.chat("question 0", privacy="local_only", max_tokens=64)
        assert kept.score == pytest.approx(said.looks["end"].features["unsure_token"])

    asyncio.run(main())


def test_a_run_stops_before_it_costs_more_than_it_may(tmp_path: Path) -> None:
    async def main() -> None:
        with CloudServer(RIGHT) as server, open_journal(tmp_path / "j.sqlite") as journal:
            async with session(server, prices=PRICES) as opened:
                most = opened.worst_usd(QUESTIONS[0])
                purse = Purse(limit_usd=most * 1.5)
                with pytest.raises(BudgetExceededError, match="--max-cost-usd"):
                    await answer(opened, journal, purse)
                answered = journal.answers(opened.cloud_key("cloud"))
            assert 1 <= len(answered) < 5
            assert purse.spent_usd == pytest.approx(0.012 * len(answered))
            assert purse.held_usd == 0.0
            assert len(server.requests) == len(answered)

    asyncio.run(main())


def test_an_error_that_all_would_meet_stops_the_run_and_keeps_what_was_answered(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        with (
            CloudServer(RIGHT, RIGHT, "status 401\nbody {}") as server,
            open_journal(tmp_path / "j.sqlite") as journal,
        ):
            async with session(server) as opened:
                remote = opened.cloud_side(concurrency=1)
                assert remote is not None
                with pytest.raises(CloudAuthError):
                    await Run(journal, [remote]).answer_all(QUESTIONS)
                assert len(journal.answers(opened.cloud_key("cloud"))) == 2

    asyncio.run(main())


def test_one_bad_moment_costs_one_question_and_not_the_run(tmp_path: Path) -> None:
    async def main() -> None:
        with (
            CloudServer("status 503\nbody {}", RIGHT) as server,
            open_journal(tmp_path / "j.sqlite") as journal,
        ):
            async with session(server) as opened:
                remote = opened.cloud_side(concurrency=1)
                assert remote is not None
                await Run(journal, [remote]).answer_all(QUESTIONS)
                assert len(journal.answers(opened.cloud_key("cloud"))) == 4
                await Run(journal, [remote]).answer_all(QUESTIONS)
                assert len(journal.answers(opened.cloud_key("cloud"))) == 5

    asyncio.run(main())


def test_what_the_cloud_refuses_to_answer_is_its_wrong_answer(tmp_path: Path) -> None:
    refusal = "say no\nfinish content_filter\ndone"

    async def main() -> None:
        with CloudServer(refusal) as server, open_journal(tmp_path / "j.sqlite") as journal:
            async with session(server) as opened:
                remote = opened.cloud_side()
                assert remote is not None
                await Run(journal, [remote]).answer_all(QUESTIONS)
                answers = journal.answers(opened.cloud_key("cloud"))
        grades = await grade_all(journal, QUESTIONS, answers, None)
        assert {said.error for said in answers.values()} == {"cloud_content_filter"}
        assert set(grades.values()) == {0.0}

    asyncio.run(main())


def test_a_question_that_nothing_can_grade_is_named(tmp_path: Path) -> None:
    bare = Example(id="x", messages=({"role": "user", "content": "?"},), line=7)

    async def main() -> None:
        with open_journal(tmp_path / "j.sqlite") as journal:
            await grade_all(journal, [bare], {bare.key: Said("a")}, None)

    with pytest.raises(DataSetError, match=r"line 7.*'x'"):
        asyncio.run(main())
