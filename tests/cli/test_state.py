"""`edge-llm budget` and `edge-llm deferred` as a user runs them."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from edge_llm.cloud.budget import BUDGET_FILE, open_budget
from edge_llm.config import BudgetConfig
from edge_llm.runtime.deferred import QUEUE_FILE, open_deferred_queue
from edge_llm.runtime.observations import ShadowOutcome, note_shadow
from tests.cli.test_chat import COMMAND


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder that the environment of each test names."""
    return tmp_path / "state"


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environ},
    )


def test_without_anything_nothing_is_made(state: Path) -> None:
    assert json.loads(run("budget", "--json").stdout) == {"spent": None}
    assert json.loads(run("deferred", "ls").stdout) == {"deferred": []}
    assert run("deferred", "cancel", "x").returncode == 4
    assert not state.exists()


def test_the_budget_says_what_is_spent_and_left(state: Path) -> None:
    budget = open_budget(state / BUDGET_FILE, BudgetConfig())
    budget.reserve(0.25, 10).settle(0.125, 7)
    budget.reserve(0.5, 3)
    budget.close()

    said = json.loads(run("budget", EDGE_LLM_BUDGET_MONTHLY_USD="1").stdout)

    assert (said["month"]["usd"], said["month"]["sent_bytes"]) == (0.625, 10)
    assert (said["reserved_usd"], said["left_usd"], said["left_bytes"]) == (0.5, 0.375, None)
    assert said["limits"]["monthly_usd"] == 1.0


def test_stats_compare_arms_and_say_what_the_cloud_agreed_with(state: Path) -> None:
    assert json.loads(run("stats").stdout) == {
        "arms": [],
        "verdicts": [],
        "calibrations": {},
        "shadows": [],
    }
    assert not state.exists()
    outcome = ShadowOutcome("x", "m", "t", "p_right", 0.9, 0.9, 0.1, 1.0, 0.25, {})
    note_shadow(state, outcome)

    (shadow,) = json.loads(run("stats", "--json").stdout)["shadows"]

    assert (shadow["model"], shadow["count"], shadow["agreement"]) == ("m", 1, 1.0)


def test_deferred_requests_are_listed_without_texts_shown_cancelled_and_forgotten(
    state: Path,
) -> None:
    queue = open_deferred_queue(state / QUEUE_FILE)
    request_id = queue.put({"messages": "the question"})
    queue.close()

    listed = run("deferred", "ls").stdout
    shown = json.loads(run("deferred", "show", request_id).stdout)

    assert json.loads(listed)["deferred"][0]["id"] == request_id
    assert "question" not in listed
    assert shown["request"] == {"messages": "the question"}
    assert run("deferred", "forget", request_id).returncode == 4
    assert "is cancelled" in run("deferred", "cancel", request_id).stdout
    assert "has ended already" in run("deferred", "cancel", request_id).stdout
    assert "is forgotten" in run("deferred", "forget", request_id).stdout
    assert "nobody" not in run("deferred", "ls").stdout
