"""Forms of answers on the command line: the built-in model, in a real process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_chat import run


def test_an_answer_fits_the_schema_of_a_file(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {
            "room": {"enum": ["kitchen", "attic"]},
            "level": {"type": "integer", "minimum": 0, "maximum": 9},
        },
        "required": ["room"],
        "additionalProperties": False,
    }
    path = tmp_path / "lamp.json"
    path.write_text(json.dumps(schema), encoding="utf-8")

    done = run("chat", "--json-schema", str(path), "light in the kitchen")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["room"] in ("kitchen", "attic")


def test_an_answer_is_one_of_the_choices() -> None:
    done = run("chat", "--choices", "yes, no", "is it dark?")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("yes", "no")


def test_half_an_answer_is_an_error(tmp_path: Path) -> None:
    done = run("chat", "--regex", "[a-z]{40}", "-n", "3", "say something")

    assert done.returncode == 4
    assert done.stdout.strip() == ""
    assert "error: the answer was cut off" in done.stderr
    assert "max_tokens" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json-schema", "/no/such/file"], "No such file"),
        (["--json-schema", "{path}"], "no JSON"),
        (["--regex", "("], "regular expression"),
        (["--regex", "a", "--choices", "a,b"], "one form"),
        (["--choices", ","], "choice must be"),
        (["--grammar", "{path}"], "the grammar cannot be used"),
    ],
)
def test_what_is_no_form_is_wrong_usage_at_once(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"type": ', encoding="utf-8")

    done = run("chat", *(part.format(path=broken) for part in arguments), "hello")

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
