"""`kill -9` at random moments: no overspending, no request lost, no answer twice."""

import json
import subprocess
import sys
from pathlib import Path

KILLS = 50


def survey(what: str, folder: Path) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.escalation_kill", what, str(folder), str(KILLS), "1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_killed_spenders_never_spend_what_is_not_counted(tmp_path: Path) -> None:
    found = survey("budget", tmp_path)

    assert found["kills"] == KILLS
    bad = ("overspent", "counted_too_little", "counted_over_limit")
    assert {name: found[name] for name in bad} == dict.fromkeys(bad, 0)


def test_killed_workers_lose_nothing_and_answer_once(tmp_path: Path) -> None:
    found = survey("queue", tmp_path)

    assert found["kills"] == KILLS
    bad = (
        "lost", "changed", "answered_twice", "delivered_twice", "delivered_unmarked",
        "not_delivered_in_the_end",
    )  # fmt: skip
    assert {name: found.get(name, 0) for name in bad} == dict.fromkeys(bad, 0)
