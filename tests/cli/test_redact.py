"""`edge-llm redact` as a user runs it."""

import json
import os
import subprocess
from pathlib import Path

from tests.cli.test_chat import COMMAND

TEXT = "I am max@example.de, of Project Kestrel."


def run(*arguments: str, text: str = TEXT, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "redact", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environ},
    )


def test_the_text_goes_to_one_side_and_the_counts_to_the_other() -> None:
    done = run("-")

    assert done.stdout == "I am [EMAIL_1], of Project Kestrel.\n"
    assert done.stderr == "replaced: EMAIL 1\n"


def test_rules_can_be_tried_and_values_shown(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)

    done = run(str(tmp_path / "text"), "--term", "project kestrel", "--values", "--json")

    assert json.loads(done.stdout) == {
        "text": "I am [EMAIL_1], of [TERM_1].",
        "counts": {"EMAIL": 1, "TERM": 1},
        "values": {"[EMAIL_1]": "max@example.de", "[TERM_1]": "Project Kestrel"},
    }


def test_rules_of_the_configuration_count(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[privacy]\npatterns = ['K\\w+l']")

    assert "[TERM_1]" in run("-", "--config", str(tmp_path / "c.toml")).stdout
    assert "[TERM_1]" in run("-", EDGE_LLM_PRIVACY_TERMS="project kestrel").stdout


def test_messages_are_redacted_as_a_request_is() -> None:
    messages = [
        {"role": "user", "name": "max@example.de", "content": [{"type": "text", "text": TEXT}]}
    ]

    done = run("-", text=json.dumps(messages))

    assert json.loads(done.stdout) == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "I am [EMAIL_1], of Project Kestrel."}],
        }
    ]


def test_what_is_wrong_is_said_and_quotes_nothing() -> None:
    broken = run("-", "--pattern", "(Kestrel")
    absent = run("/no/such/file")
    image = run("-", text='[{"role": "user", "content": [{"type": "image_url"}]}]')

    assert (broken.returncode, absent.returncode, image.returncode) == (2, 2, 4)
    assert "Kestrel" not in broken.stderr
    assert "/no/such/file" in absent.stderr
    assert "privacy.media" in image.stderr


def test_without_anything_to_replace_it_says_so() -> None:
    done = run("-", text="lights on\n")

    assert (done.stdout, done.stderr) == ("lights on\n", "replaced: nothing\n")
