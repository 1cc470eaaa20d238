"""`edge-llm voice` as a user starts it: a process of its own, spoken to by the real client."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_llm.cli.voice import voice
from edge_llm.cli.voice_run import read_areas
from edge_llm.errors import ConfigError, InvalidParameterError
from tests.support.voicing import ask, types

COMMAND = [sys.executable, "-m", "edge_llm", "voice"]


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The process, and what it said until it listened."""
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        if said[0].strip().rpartition(" ")[2].startswith("tcp:"):
            said += [process.stdout.readline() for _ in range(3)]
        try:
            yield process, said
        finally:
            process.kill()


def test_it_says_what_to_type_answers_and_ends_when_told() -> None:
    with running("--uri", "tcp://127.0.0.1:0") as (process, said):
        found = re.fullmatch(r"builtin at (tcp://127\.0\.0\.1:(\d+))\n", said[0])
        assert found, said
        assert "Wyoming Protocol" in said[1]
        assert f"host 127.0.0.1, port {found[2]}" in said[2]
        (event,) = asyncio.run(ask(found[1], "turn on the kitchen lights"))
        assert event.type == "intent"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_socket_in_a_folder_goes_with_the_process(tmp_path: Path) -> None:
    path = tmp_path / "voice.sock"
    with running("--uri", f"unix://{path}", "--area", "sat=Kitchen") as (process, _):
        assert types(asyncio.run(ask(f"unix://{path}", "hello")))[-1] == "handled-stop"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not path.exists()


@pytest.mark.parametrize("source", ["pipe", "file"])
def test_a_pipe_and_a_file_are_answered_to_the_end(source: str, tmp_path: Path) -> None:
    spoken = b'{"type":"transcript","data":{"text":"turn off the TV"}}\n{"type":"ping"}\n'
    path = tmp_path / "spoken"
    path.write_bytes(spoken)
    command = [*COMMAND, "--uri", "stdio://"]
    with path.open("rb") as file:
        if source == "file":
            done = subprocess.run(command, stdin=file, capture_output=True, timeout=100)
        else:
            done = subprocess.run(command, input=spoken, capture_output=True, timeout=100)

    assert done.returncode == 0
    assert done.stdout.startswith(b'{"type": "intent"')
    assert b'"HassTurnOff"' in done.stdout
    assert b'"type": "pong"' in done.stdout
    assert b"builtin at stdio://" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        {"uri": "tcp://0.0.0.0:10400"},
        {"uri": "ftp://x"},
        {"intents": "all"},
        {"area": ["kitchen"]},
        {"zeroconf": "kitchen"},
        {"temperature": -1.0},
        {"deadline": 0.0},
        {"hold": "never"},
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_model_is_loaded(options: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, InvalidParameterError)):
        voice(model="/no/such/model.gguf", **options)


def test_a_refusal_is_a_line_a_hint_and_an_exit_code() -> None:
    command = [*COMMAND, "--uri", "tcp://0.0.0.0:10400"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)

    assert done.returncode == 2
    assert "no passwords" in done.stderr
    assert "hint: --allow-remote" in done.stderr


def test_areas_by_satellite() -> None:
    assert read_areas(("assist_satellite.k=Kitchen", "abc = Oma's room")) == {
        "assist_satellite.k": "Kitchen",
        "abc": "Oma's room",
    }
    with pytest.raises(ConfigError, match="ID=AREA"):
        read_areas(("kitchen",))
