"""`edge-llm calibrate` and `edge-llm evaluate` as a user runs them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_llm.confidence.calibration.file import load_calibration
from edge_llm.hub.packaged import models_folder
from tests.cli.test_chat import COMMAND
from tests.support.cloud_server import CloudServer

ANSWER = "say yes\nfinish stop\nusage 9 3\ndone"
NUM_QUESTIONS = 22


def run(*arguments: str | Path, stdin: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    """600 outcomes whose score tells the truth: P(the local answer is right) is the score."""
    rng = np.random.default_rng(0)
    path = tmp_path / "outcomes.jsonl"
    with path.open("w") as stream:
        for score in rng.beta(2.0, 0.7, 600):
            right, cloud = rng.random() < score, rng.random() < 0.95
            took = {"cloud_cost_usd": 0.001, "local_latency_s": 0.5, "cloud_latency_s": 2.0}
            row = {"sure": score, "local_correct": bool(right), "cloud_correct": bool(cloud)} | took
            stream.write(json.dumps(row) + "\n")
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Commands for the built-in model, with the calls that they should give."""
    lines = (models_folder() / "builtin" / "evaluation.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:NUM_QUESTIONS]]
    path = tmp_path / "questions.jsonl"
    path.write_text(
        "".join(
            json.dumps({"prompt": row["text"], "tool_calls": row["calls"]}) + "\n" for row in rows
        )
    )
    return path


@pytest.fixture
def cloud() -> Iterator[CloudServer]:
    with CloudServer(ANSWER) as server:
        yield server


def asking(questions: Path, server: CloudServer) -> list[str]:
    return [
        str(questions), "--cloud-url", server.url, "--cloud-model", "m", "--privacy", "allow",
        "--max-tokens", "48", "--concurrency", "1",
    ]  # fmt: skip


def test_recorded_outcomes_give_a_calibration_and_curves(outcomes: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra `calibrate`")
    output, plots = tmp_path / "new" / "calibration.json", tmp_path / "plots"

    done = run("calibrate", outcomes, "--recorded", "--column", "score=sure", "--epsilon", "0.05",
               "--output", output, "--plots", plots)  # fmt: skip

    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["feasible"]
    assert record["certificate"]["risk_bound"] <= 0.05
    assert 0.1 < record["certificate"]["kept_share"] < 1.0
    assert record["quality"]["auroc_wrong"] > 0.7
    calibration = load_calibration(output)
    assert calibration.policy is not None
    low, high = (calibration.confidence("end", [score]) for score in (0.2, 0.95))
    assert low is not None
    assert high is not None
    assert low < 0.5 < high
    drawn = {path.name for path in plots.iterdir()}
    names = ("accuracy", "reliability", "risk", "cost")
    assert drawn == {f"{name}.{suffix}" for name in names for suffix in ("svg", "png")}


def test_a_goal_that_cannot_be_kept_is_said_and_leaves_nothing(
    outcomes: Path, tmp_path: Path
) -> None:
    output = tmp_path / "calibration.json"

    done = run("calibrate", outcomes, "--recorded", "--column", "score=sure", "--limit", "60",
               "--goal", "selective-error", "--alpha", "0.001", "--output", output)  # fmt: skip

    assert done.returncode == 4
    record = json.loads(done.stdout)
    assert not record["feasible"]
    assert record["infeasible"]["advice"]
    assert "error: " in done.stderr
    assert "hint: " in done.stderr
    assert [path.name for path in tmp_path.iterdir() if "calibration" in path.name] == []


def test_a_terminal_gets_tables_and_drawn_curves(outcomes: Path, tmp_path: Path) -> None:
    shown = on_terminal("calibrate", str(outcomes), "--recorded", "--column", "score=sure",
                        "--epsilon", "0.05", "--output", str(tmp_path / "c.json"))  # fmt: skip

    assert "stays local" in shown
    assert "Accuracy against what is escalated" in shown
    assert any(0x2800 < ord(letter) <= 0x28FF for letter in shown)
    assert "written to" in shown


def on_terminal(*arguments: str) -> str:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=slave, stdout=slave, stderr=slave,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
    )  # fmt: skip
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 4096):
            shown += data
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(master)
    assert process.wait(timeout=60) == 0, shown.decode()
    return shown.decode()


def test_configurations_are_compared_side_by_side(outcomes: Path) -> None:
    done = run("evaluate", outcomes, "--recorded", "--column", "score=sure", "--epsilon", "0.05")

    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    by_name = {one["name"]: one for one in record["configurations"]}
    assert list(by_name)[:3] == ["local only", "cloud only", "hybrid, loss ≤ 0.05"]
    hybrid = by_name["hybrid, loss ≤ 0.05"]
    assert hybrid["difference"]["low"] <= hybrid["difference"]["value"]
    assert hybrid["difference"]["value"] > -0.07
    assert 0.0 < hybrid["saved"] < 1.0
    assert by_name["cloud only"]["difference"] is None
    assert "race" in done.stderr  # no first words were timed
    assert "refined" in done.stderr


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": "a", "exact": "b"}\n{"prompt": "a", "numeric": "b"}\n')

    done = run("evaluate", path)

    assert done.returncode == 2
    assert "line 2: column 'numeric': a number" in done.stderr


def test_recorded_outcomes_of_no_model_need_a_place(outcomes: Path) -> None:
    done = run("calibrate", outcomes, "--recorded", "--column", "score=sure")

    assert done.returncode == 2
    assert "--model REF" in done.stderr


def test_nothing_is_spent_without_a_price_or_without_consent(
    questions: Path, cloud: CloudServer, tmp_path: Path
) -> None:
    unpriced = run("evaluate", *asking(questions, cloud))
    config = tmp_path / "tiers.toml"
    config.write_text(
        '[[tiers]]\nmodel = "builtin"\n[[tiers]]\n'
        f'base_url = "{cloud.url}"\nmodel = "m"\n'
        "prices = { input_usd = 1.0, output_usd = 1.0 }\n"
    )
    unasked = run("evaluate", questions, "--config", config)

    assert unpriced.returncode == 2
    assert "--without-price" in unpriced.stderr
    assert unasked.returncode == 2
    assert "at most $" in unasked.stderr
    assert "--yes" in unasked.stderr
    assert cloud.requests == []


def test_a_run_that_is_killed_goes_on_and_asks_nothing_twice(
    questions: Path, cloud: CloudServer, tmp_path: Path
) -> None:
    saved = tmp_path / "outcomes.jsonl"
    arguments = ["calibrate", *asking(questions, cloud), "--without-price", "--goal",
                 "selective-error", "--save", str(saved)]  # fmt: skip
    cloud.set_scripts(*[ANSWER] * 8, "hang")
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL)
    cloud.wait_for_requests(9)
    process.send_signal(signal.SIGKILL)
    process.wait()
    cloud.set_scripts(ANSWER)

    done = run(*arguments)

    rows = [json.loads(line) for line in saved.read_text().splitlines()]
    assert len(rows) == NUM_QUESTIONS, done.stderr
    assert all("end" in row["looks"] for row in rows)
    # All but the one that was under way when it was killed were asked once. Its predecessor's
    # answer was on the disk: a side asks one question after the other here.
    assert len(cloud.requests) == NUM_QUESTIONS + 1


def test_an_interrupt_says_how_to_go_on(questions: Path, cloud: CloudServer) -> None:
    cloud.set_scripts(*[ANSWER] * 3, "hang")
    arguments = ["evaluate", *asking(questions, cloud), "--without-price"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    cloud.wait_for_requests(4)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "the same command goes on from there" in told
    assert "Traceback" not in told


def test_a_fitted_calibration_is_what_the_runtime_then_uses(outcomes: Path, tmp_path: Path) -> None:
    made: dict[str, Any] = json.loads(
        run("calibrate", outcomes, "--recorded", "--column", "feature.min_logprob=sure",
            "--epsilon", "0.05", "--model", "builtin").stdout
    )  # fmt: skip

    answer = json.loads(run("chat", "--json", "turn on the kitchen lights").stdout)

    assert Path(made["calibration"]).parent == tmp_path / "data" / "calibrations"
    assert answer["calibrated"] is True
    assert 0.0 <= answer["confidence"] <= 1.0


@pytest.mark.parametrize("option", ["--save", "--plots", "--output"])
def test_what_cannot_be_written_is_said_before_anybody_is_asked(
    questions: Path, cloud: CloudServer, tmp_path: Path, option: str
) -> None:
    (tmp_path / "file").write_text("mine")
    done = run(
        "calibrate",
        *asking(questions, cloud),
        "--without-price",
        option,
        tmp_path / "file" / "below",
    )

    assert done.returncode != 0
    assert "cannot be written" in done.stderr
    assert cloud.requests == []
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("option", ["--save", "--output"])
def test_a_device_is_never_replaced_by_a_file(
    questions: Path, cloud: CloudServer, tmp_path: Path, option: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = run("calibrate", *asking(questions, cloud), "--without-price", option, tmp_path / "pipe")

    assert done.returncode != 0
    assert "is no ordinary file" in done.stderr
    assert (tmp_path / "pipe").is_fifo()
    assert cloud.requests == []


def test_questions_that_are_too_few_or_that_nobody_can_grade_cost_nothing(
    questions: Path, cloud: CloudServer, tmp_path: Path
) -> None:
    lines = questions.read_text().splitlines(keepends=True)
    few, ungraded = tmp_path / "few.jsonl", tmp_path / "ungraded.jsonl"
    few.write_text("".join(lines[:7]))
    ungraded.write_text("".join(lines) + '{"prompt": "Is it good?"}\n')

    done = run("calibrate", *asking(few, cloud), "--without-price")
    other = run("calibrate", *asking(ungraded, cloud), "--without-price")
    judged = run("calibrate", *asking(ungraded, cloud), "--without-price", "--judge", "cloud")

    assert "7 different questions are too few" in done.stderr
    assert f"line {NUM_QUESTIONS + 1}: nothing tells whether" in other.stderr
    assert "has no rubric" in judged.stderr
    assert cloud.requests == []
