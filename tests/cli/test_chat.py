"""The command as a user runs it: a real process, a real model file, a real terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.gguf_files import write_tiny_model

COMMAND = [sys.executable, "-m", "edge_llm"]
FIELDS = [
    "text", "tool_calls", "finish_reason", "model", "route", "reason", "score", "signal",
    "threshold", "confidence", "calibrated", "usage", "timings", "cost_usd", "attempts", "degraded",
    "cached", "trace_id", "reasoning", "dropped_messages",
    "logprobs", "tier", "policy", "wasted_tokens", "redactions", "hold_s", "compressed_tokens",
    "uncalibrated_because", "checkpoint", "arm",
]  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models")
    return str(write_tiny_model(folder / "tiny.gguf", context=4096))


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that speaks visibly and for longer than any test waits."""
    folder = tmp_path_factory.mktemp("models")
    return str(write_tiny_model(folder / "endless.gguf", context=65536, letters=True))


def run(*arguments: str, stdin: str | None = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, text=True, timeout=60
    )


def test_into_a_pipe_goes_the_text_alone(tiny: str) -> None:
    plain = run("chat", "-m", tiny, "--seed", "3", "-n", "20", "hello")
    record = run("chat", "-m", tiny, "--seed", "3", "-n", "20", "--json", "hello")

    assert plain.returncode == record.returncode == 0
    assert plain.stdout == json.loads(record.stdout)["text"] + "\n"
    assert "\x1b[" not in plain.stdout


def test_json_is_one_object_with_the_whole_record(tiny: str) -> None:
    done = run("chat", "-m", tiny, "--json", "--seed", "3", "-n", "5", "-t", "1.5", "hello")

    record = json.loads(done.stdout)
    assert list(record) == FIELDS
    assert record["model"] == "tiny"
    assert record["usage"]["completion_tokens"] <= 5
    assert set(record["timings"]) == {"ttft_s", "tpot_s", "e2e_s"}


def test_the_prompt_may_come_from_standard_input(tiny: str) -> None:
    common = ("chat", "-m", tiny, "--seed", "3", "-n", "8", "-t", "0")

    expected = run(*common, "hello").stdout

    assert run(*common, stdin="hello").stdout == expected
    assert run(*common, "-", stdin="hello").stdout == expected


WRONG = [
    (("chat", "--temprature", "1", "x"), 2, "--temperature"),
    (("chat", "-t", "-1", "x"), 2, "temperature must be"),
    (("chat", "-t", "hot", "x"), 2, "--temperature"),
    (("chat", "--overflow", "cut", "x"), 2, "drop_oldest"),
    (("chat", "-c", "all", "x"), 2, "'auto', not 'all'"),
    (("chat", "--kv-cache-type", "q4_0", "x"), 2, "'q8_0', not 'q4_0'"),
    (("chat", "--reserve-cores", "-1", "x"), 2, "reserve_cores"),
    (("chat", ""), 2, "empty"),
    (("chat",), 2, "empty"),
    (("chatt",), 2, "chat"),
    (("chat", "-m", "/nowhere/model.gguf", "x"), 3, "no model '/nowhere/model.gguf'"),
    (("chat", "-m", __file__, "x"), 3, "GGUF"),
    (("chat", "-c", "64", "x" * 500), 4, "context of"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG, ids=lambda v: str(v)[:40])
def test_errors_have_their_own_exit_codes_and_say_what_to_do(
    tiny: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    if code == 4:
        arguments = (*arguments, "-m", tiny)

    done = run(*arguments)

    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_crash(tiny: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, "chat", "-m", tiny, "hello"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    assert process.wait(60) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


def test_threads_and_memory_are_set_by_options_and_told(tiny: str) -> None:
    options = ("-c", "auto", "--threads", "2", "--prefill-threads", "1", "--reserve-cores", "0")
    done = run("chat", "-m", tiny, "-n", "3", *options, "--verbose", "hello")

    assert done.returncode == 0
    assert "2 threads decode, 1 prefill (configured" in done.stderr
    assert "with a context of 4096: weights" in done.stderr


def test_version_and_help() -> None:
    assert run("--version").stdout.startswith("edge-llm 0.")
    for arguments in (("--help",), ("chat", "--help")):
        done = run(*arguments)
        assert done.returncode == 0
        assert "Usage: " in done.stdout
        assert "\x1b[" not in done.stdout


LEFT_THE_PROMPT = "<left the prompt>"


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            # A shell starts its background jobs, and what they start, deaf to Ctrl-C.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
            os.execve(sys.executable, [*COMMAND, *arguments], environ)
        self._seen = ""

    def write(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def read_until(self, pattern: str, timeout_s: float = 40.0) -> str:
        """What was shown since the last call, up to the pattern."""
        end = time.monotonic() + timeout_s
        while not (match := re.search(pattern, self._seen)):
            assert time.monotonic() < end, f"no {pattern!r} in {self._seen!r}"
            if select.select([self._fd], [], [], 0.2)[0]:
                self._take()
        shown, self._seen = self._seen[: match.end()], self._seen[match.end() :]
        return shown

    def _take(self) -> None:
        raw = os.read(self._fd, 65536).decode("utf-8", "replace")
        # prompt_toolkit asks where the cursor is; a real terminal answers.
        if "\x1b[6n" in raw:
            self.write("\x1b[1;1R")
        # Bracketed paste goes off when the line is taken; other control sequences say nothing.
        raw = raw.replace("\x1b[?2004l", LEFT_THE_PROMPT)
        self._seen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", raw)

    def exit_code(self) -> int:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    self._take()
                except OSError:
                    time.sleep(0.05)
        raise AssertionError("the program did not end")

    def close(self) -> None:
        """Kill the program if it still runs."""
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._fd)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    opened = Terminal(*arguments)
    try:
        yield opened
    finally:
        opened.close()


LAST_LINE = r"tiny · local · [\d.]+ tok/s · first token \d+ ms"


def test_on_a_terminal_an_answer_ends_in_a_line_about_itself(tiny: str) -> None:
    with terminal("chat", "-m", tiny, "-n", "20", "--seed", "3", "-t", "0", "hello") as screen:
        screen.read_until(LAST_LINE)
        assert screen.exit_code() == 0


def test_a_conversation_remembers_takes_pasted_lines_and_survives_ctrl_c(endless: str) -> None:
    with terminal("chat", "-m", endless, "-t", "0", "-c", "65536") as screen:
        screen.read_until(
            r"model endless \(GGUF\), context 65536 tokens, about [\d.]+ MiB of memory; /help"
        )
        screen.read_until(">")
        screen.write("/help\r")
        screen.read_until("stop the answer")

        screen.read_until(">")
        screen.write("\x1b[200~two\nlines\x1b[201~")  # a bracketed paste
        screen.read_until("lines")
        screen.write("\r")
        # It is answering: the prompt itself would take the Ctrl-C for an unfinished line.
        screen.read_until(LEFT_THE_PROMPT)
        screen.read_until("[a-z]{30,}")
        screen.write("\x03")
        screen.read_until("stopped")

        screen.read_until(">")
        screen.write("half a line\x03")
        screen.read_until(">")
        screen.write("/clear\r")
        screen.read_until("new conversation")
        screen.read_until(">")
        screen.write("\x04")  # Ctrl-D
        assert screen.exit_code() == 0


def test_a_long_conversation_says_what_it_leaves_out(tiny: str) -> None:
    with terminal("chat", "-m", tiny, "-c", "256", "-n", "30", "-t", "0") as screen:
        for _ in range(3):
            screen.read_until(">")
            screen.write("x" * 90 + "\r")
            shown = screen.read_until(LAST_LINE)
        assert re.search(r"oldest\s+\d+\s+messages", shown)


def test_ctrl_c_on_a_single_answer_ends_the_program(endless: str) -> None:
    with terminal("chat", "-m", endless, "-t", "0", "-c", "65536", "hello") as screen:
        screen.read_until(r".{40,}")
        screen.write("\x03")
        assert screen.exit_code() == 130
