"""A stranger follows the README: every command and every Python line in it must work."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


COMMANDS = [
    line
    for block in blocks("sh")
    for line in block.splitlines()
    # Running the tests from a test would never end.
    if line and shlex.split(line, comments=True) != ["scripts/test"]
]


def test_the_readme_has_commands_and_python() -> None:
    assert len(COMMANDS) >= 5
    assert len(blocks("python")) >= 2


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_works(command: str) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("code", blocks("python"))
def test_python_of_the_readme_works(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_room_is_in_the_tree_of_the_readme() -> None:
    tree = README.partition("## The house")[2]

    for room in (ROOT / "edge_llm").iterdir():
        if (room / "__init__.py").exists() and room.name != "_models":
            assert f"{room.name}/" in tree, room.name


def test_links_in_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (ROOT / target).exists(), target
