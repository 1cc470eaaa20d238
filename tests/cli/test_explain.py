import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_llm.cli.explain import _REASONS, explain
from edge_llm.routing.base import EscalationReason
from edge_llm.types import Answer, Attempt, Timings, Usage
from tests.support.cloud_server import CloudServer
from tests.support.hybrid import CLOUD_ANSWER

LOCAL = Attempt("local", "local", "small", "deferred", "unsure", 40, 2, 0.035)
CLOUD = Attempt("cloud/first", "cloud", "large", "answered", None, 45, 60, 1.2, 0.0012)


def answer(**changes: object) -> Answer:
    values = {
        "text": "x", "tool_calls": (), "finish_reason": "stop", "model": "large", "route": "cloud",
        "tier": "cloud", "reason": "unsure", "score": 0.12, "signal": "unsure_token",
        "threshold": 0.5, "confidence": None, "calibrated": False, "usage": Usage(85, 62),
        "timings": Timings(0.4, 0.01, 1.3), "cost_usd": 0.0012, "attempts": (LOCAL, CLOUD),
        "degraded": False, "cached": False, "trace_id": "t", "policy": "deferral",
        "wasted_tokens": 2, "redactions": {"EMAIL": 1}, "hold_s": 0.25,
    }  # fmt: skip
    return Answer(**{**values, **changes})  # type: ignore[arg-type]


def test_the_account_says_who_why_and_at_what_cost() -> None:
    assert explain(answer()) == [
        "answered elsewhere by large (tier cloud)",
        "it moved on because the local model itself said that it does not know:"
        " unsure_token 0.12, threshold 0.5",
        "decided by deferral",
        "  local (small): was set aside (unsure), 40 + 2 tokens, 35 ms",
        "  cloud/first (large): gave the answer, 45 + 60 tokens, 1200 ms, $0.001200",
        "2 local tokens were written and not used",
        "replaced before anything left: 1 EMAIL",
        "held back for 250 ms before the first word was certain",
        "the score is not calibrated",
        "in all: $0.001200, 85 + 62 tokens, first token 400 ms, whole answer 1300 ms",
    ]


def test_an_answer_that_stayed_says_so() -> None:
    kept = answer(route="local", tier="local", reason=None, policy=None, score=0.9)

    assert explain(kept)[:2] == [
        "answered on this device by large (tier local)",
        "kept there: unsure_token 0.9, threshold 0.5",
    ]


def test_a_degraded_answer_is_called_so() -> None:
    text = "\n".join(explain(answer(degraded=True, route="local")))

    assert "a better tier was wanted because" in text
    assert "second best" in text


def test_what_nobody_knows_the_price_of_is_not_free() -> None:
    unknown = Attempt("cloud", "cloud", "large", "cloud_timeout", None, 0, 0, 1.0, None)

    assert "  cloud (large): failed with cloud_timeout, 0 + 0 tokens, 1000 ms, cost unknown" in (
        explain(answer(attempts=(unknown,)))
    )


@pytest.mark.parametrize("reason", EscalationReason)
def test_every_reason_has_words(reason: EscalationReason) -> None:
    assert str(reason) in _REASONS
    assert explain(answer(reason=str(reason)))[1].startswith("it moved on because")


TOML = """
[escalation]
rules = [{ tag = "up", tier = "cloud" }]
[privacy]
label = "allow"
"""


def test_tiers_by_flags_and_file_with_an_account_on_standard_error(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(TOML)
    with CloudServer(CLOUD_ANSWER) as server:
        common = [
            sys.executable, "-m", "edge_llm", "chat", "--config", str(tmp_path / "c.toml"),
            "--cloud-url", server.url, "--cloud-model", "m", "--tag", "up",
        ]  # fmt: skip
        told = subprocess.run(
            [*common, "--explain", "why?"], capture_output=True, text=True, timeout=100
        )
        record = subprocess.run(
            [*common, "--json", "why?"], capture_output=True, text=True, timeout=100
        )

    assert told.returncode == 0, told.stderr
    assert told.stdout == "From the cloud.\n"
    assert "a rule of the configuration gives such tasks to another tier" in told.stderr
    assert json.loads(record.stdout)["attempts"][0]["tier"] == "cloud"


@pytest.fixture(scope="module")
def demo() -> str:
    command = [sys.executable, "-m", "edge_llm", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_answers_one_request_here_and_one_in_its_pretended_cloud(demo: str) -> None:
    assert "pretended" in demo
    assert "answered on this device by builtin" in demo
    assert "answered elsewhere by scripted-cloud" in demo


def test_what_the_demo_sends_is_redacted_and_the_answer_restored(demo: str) -> None:
    sent = demo.partition("was sent:")[2]

    assert "[EMAIL_1]" in sent
    assert "ada@example.org" not in sent
    assert "For ada@example.org:" in demo


def test_the_demo_gives_its_records() -> None:
    command = [sys.executable, "-m", "edge_llm", "demo", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)

    home, hard = json.loads(done.stdout)
    assert (home["route"], hard["route"]) == ("local", "cloud")
    assert hard["redactions"] == {"EMAIL": 1}
    assert hard["cost_usd"] > 0
