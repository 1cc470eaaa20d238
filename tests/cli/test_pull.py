"""`edge-llm pull` and `edge-llm models` as a user runs them, against a hub on loopback."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_chat import COMMAND
from tests.support.gguf_files import TinySpec, tiny_model
from tests.support.hub_models import onnx_repo, split_gguf
from tests.support.hub_server import Fault, HubServer

REPO = "acme/tiny-GGUF"
FILE = "tiny-Q8_0.gguf"
SIZE = len(tiny_model(TinySpec()))


class User:
    """Somebody at a command line whose hub is on loopback."""

    def __init__(self, hub: HubServer, home: Path) -> None:
        self.hub = hub
        self.home = home
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "EDGE_LLM_"))}
        self.env = inherited | {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home / "hf"),
            "EDGE_LLM_CACHE_DIR": str(home / "cache"),
            "EDGE_LLM_DATA_DIR": str(home / "data"),
            "COLUMNS": "160",
        }

    def break_off_after(self, num_bytes: int, hold: threading.Event | None = None) -> Fault:
        """Let the transfer break off; before it, all of so small a model is read as its header."""
        fault = Fault("*", hold=hold)
        self.hub.break_after(self.hub.bytes_sent + SIZE + num_bytes, fault)
        return fault

    def mend(self) -> None:
        self.hub.break_after(None, None)

    def partial_sizes(self) -> list[int]:
        return [path.stat().st_size for path in self.home.rglob("*.edge-llm-partial")]

    def run(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            env=self.env | extra,
        )

    def json(self, *arguments: str) -> dict[str, object]:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(record, dict)
        return record

    def on_terminal(self, *arguments: str, answer: str = "") -> str:
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=slave, stdout=slave, stderr=slave, env=self.env
        )
        os.close(slave)
        os.write(master, answer.encode())
        shown = b""
        try:
            while data := os.read(master, 4096):
                shown += data
        except OSError:  # Linux says so when the other end is closed
            pass
        os.close(master)
        assert process.wait(60) == 0, shown.decode()
        return shown.decode()


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    with HubServer() as hub:
        hub.add_repo(REPO, {FILE: tiny_model(TinySpec()), "README.md": b"hello"})
        yield User(hub, tmp_path)


def test_a_dry_run_says_what_and_how_much_and_fetches_nothing(user: User) -> None:
    record = user.json("pull", REPO, "--dry-run")

    assert (record["quantization"], record["total_bytes"]) == ("Q8_0", SIZE)
    assert (record["missing_bytes"], record["fits"]) == (SIZE, True)
    assert not (user.home / "hf").exists()
    shown = user.on_terminal("pull", REPO, "--dry-run")
    assert "download  111.8 KiB in 1 file" in shown
    assert "fits in the" in shown


def test_into_a_pipe_go_lines_of_json(user: User) -> None:
    done = user.run("pull", REPO)

    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["plan", "progress", "done"]
    assert Path(events[-1]["model"]).read_bytes() == tiny_model(TinySpec())
    assert done.stderr == ""


def test_a_terminal_gets_a_bar_and_the_next_command(user: User) -> None:
    shown = user.on_terminal("pull", REPO)

    assert FILE in shown
    assert "━" in shown
    assert f"ask it: edge-llm chat -m {REPO}" in shown


def test_control_sequences_in_names_do_not_reach_the_terminal(user: User) -> None:
    user.hub.add_repo("acme/loud", {"m-Q8_0.gguf": tiny_model(TinySpec())}, licence="\x1b[31mred")

    assert "\x1b[31mred" not in user.on_terminal("pull", "acme/loud", "--dry-run")


def test_a_model_that_is_not_here_exits_with_the_command_to_fetch_it(user: User) -> None:
    for command in (["chat", "-m", REPO, "hi"], ["models", "rm", REPO], ["quantize", REPO]):
        done = user.run(*command)
        assert done.returncode == 3
        assert f"edge-llm pull {REPO}" in done.stderr


def test_every_command_takes_the_reference(user: User, tmp_path: Path) -> None:
    user.hub.add_repo("acme/tiny-ONNX", onnx_repo())
    user.run("pull", REPO)
    user.run("pull", "acme/tiny-ONNX")

    answer = user.json("chat", "-m", REPO, "-n", "3", "--json", "hello")
    assert answer["model"] == "tiny-Q8_0"
    assert user.json("inspect", f"hf:{REPO}:Q8_0")["architecture"] == "llama"
    assert user.json("inspect", "acme/tiny-ONNX")["format"] == "onnx"
    pytest.importorskip("onnx")
    quantised = user.json(
        *("quantize", "acme/tiny-ONNX", "--method", "q8", "--output", str(tmp_path / "q8")),
        *("--max-kl", "5"),
    )
    assert str(tmp_path / "q8") in json.dumps(quantised)


def test_a_killed_pull_goes_on(user: User) -> None:
    fault = user.break_off_after(50_000, hold=threading.Event())
    with subprocess.Popen(
        [*COMMAND, "pull", REPO], env=user.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert fault.reached.wait(60)
            while user.partial_sizes() != [50_000]:
                time.sleep(0.01)
        finally:
            process.kill()
    user.mend()

    assert user.json("models", "verify") == {"models": []}
    assert user.json("pull", REPO, "--dry-run")["missing_bytes"] == SIZE - 50_000
    assert user.json("pull", REPO)["event"] == "done"
    assert [r.range for r in user.hub.requests if r.host == "cdn"][-1] == "bytes=50000-"


def test_two_commands_at_once_fetch_it_once(user: User) -> None:
    user.hub.add_repo("acme/split", split_gguf("m-Q4_0", 4, TinySpec(width=128)))
    processes = [
        subprocess.Popen([*COMMAND, "pull", "acme/split"], env=user.env, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=100)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len({json.loads(output.splitlines()[-1])["model"] for output in outputs}) == 1
    # Each looks at the header; the contents come once.
    whole = [r for r in user.hub.requests if r.host == "cdn" and r.range is None]
    assert len(whole) == 4


def test_a_name_of_the_catalogue_is_fetched_and_answers(user: User) -> None:
    user.hub.add_repo(
        "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
        {"smollm2-360m-instruct-q8_0.gguf": tiny_model(TinySpec())},
    )
    assert user.json("pull", "smollm2-360m")["event"] == "done"
    assert user.json("chat", "-m", "smollm2-360m", "-n", "2", "--json", "hi")["model"] == (
        "smollm2-360m-instruct-q8_0"
    )


def test_a_quantisation_of_the_second_repository_is_found(user: User) -> None:
    model = tiny_model(TinySpec())
    user.hub.add_repo("Qwen/Qwen3-0.6B-GGUF", {"Qwen3-0.6B-Q8_0.gguf": model})
    user.hub.add_repo("unsloth/Qwen3-0.6B-GGUF", {"Qwen3-0.6B-Q4_K_M.gguf": model})

    user.json("pull", "qwen3-0.6b:Q4_K_M")
    assert user.json("chat", "-m", "qwen3-0.6b:q4_k_m", "-n", "2", "--json", "hi")["text"]


def test_a_gated_model_tells_what_to_do(user: User) -> None:
    user.hub.add_repo("acme/gated", {FILE: tiny_model(TinySpec())}, gated="manual")

    done = user.run("pull", "acme/gated")
    assert done.returncode == 3
    assert f"accept it at {user.hub.url}/acme/gated; then set HF_TOKEN" in done.stderr
    user.hub.granted.add("acme/gated")
    assert user.run("pull", "acme/gated", HF_TOKEN=user.hub.token).returncode == 0


def test_offline_pulls_from_nowhere_but_this_machine(user: User) -> None:
    there = user.run("pull", REPO, EDGE_LLM_OFFLINE="1", HF_ENDPOINT="https://huggingface.co")

    assert there.returncode == 3
    assert "EDGE_LLM_OFFLINE is set" in there.stderr
    assert user.run("pull", REPO, EDGE_LLM_OFFLINE="1").returncode == 0


@pytest.mark.parametrize("text", ["builtin", "./file.gguf", "hf:a", "nonesuch-7b"])
def test_what_cannot_be_pulled_says_so(user: User, text: str) -> None:
    done = user.run("pull", text)

    assert done.returncode == 3
    assert "hint:" in done.stderr


def test_models_are_listed_verified_and_removed(user: User) -> None:
    user.run("pull", REPO)

    assert "hf:acme/tiny-GGUF:Q8_0" in user.on_terminal("models", "verify")
    assert '"state": "whole"' in user.run("models", "verify").stdout
    assert user.run("models", "rm", REPO).returncode == 2
    assert "removed" in user.on_terminal("models", "rm", REPO, answer="y\n")
    assert user.json("models", "verify") == {"models": []}


def test_a_damaged_model_is_an_error_with_its_cure(user: User) -> None:
    path = Path(str(user.json("pull", REPO)["model"]))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.resolve().write_bytes(data)

    done = user.run("models", "verify", REPO)
    assert done.returncode == 3
    assert json.loads(done.stdout)["models"][0]["state"] == "damaged"
    cure = "edge-llm models rm hf:acme/tiny-GGUF:Q8_0 --yes && edge-llm pull hf:acme/tiny-GGUF:Q8_0"
    assert cure in done.stderr
    for command in cure.split(" && "):
        assert user.run(*command.split()[1:]).returncode == 0
    assert user.run("models", "verify", REPO).returncode == 0


def test_a_model_goes_to_a_machine_without_a_network(user: User, tmp_path: Path) -> None:
    user.run("pull", REPO)
    user.json("models", "export", REPO, str(tmp_path / "usb"))
    elsewhere = User(user.hub, tmp_path / "elsewhere")
    user.hub.requests.clear()

    elsewhere.json("models", "import", str(tmp_path / "usb"))
    assert elsewhere.json("chat", "-m", REPO, "-n", "2", "--json", "hi")["model"] == "tiny-Q8_0"
    assert user.hub.requests == []


def test_what_arrived_of_a_broken_pull_can_be_removed(user: User) -> None:
    user.break_off_after(50_000)
    assert user.run("pull", REPO).returncode == 3
    user.mend()

    assert user.json("models", "rm", REPO, "--yes")["freed_bytes"] == 50_000
    assert list((user.home / "hf" / "hub").glob("models--*")) == []


def test_help_reads_well(user: User) -> None:
    shown = user.run("models", "--help").stdout

    for command in ("rm", "verify", "export", "import"):
        assert command in shown
    assert user.run("pull", "--help").returncode == 0
