"""`edge-llm models`: what is here and what would suit this machine, without asking anybody."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from edge_llm.cli.models_installed import Machine
from edge_llm.cli.models_recommended import READING_SPEED, describe_recommended
from edge_llm.config import EdgeConfig
from edge_llm.device.speed import MachineSpeed
from edge_llm.hub.imports import import_model
from edge_llm.hub.ollama_store import OllamaStore
from edge_llm.hub.registry import load_registry
from tests.cli.test_chat import COMMAND
from tests.support.gguf_files import TinySpec, tiny_model
from tests.support.hub_server import HubServer
from tests.support.onnx_files import write_folder
from tests.support.stores import OllamaTree

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def edge_llm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)


def view() -> dict[str, Any]:
    done = edge_llm("models", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def on_terminal(*arguments: str) -> str:
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120"}
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 4096):
            shown += data
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(master)
    assert process.wait(60) == 0
    return shown.decode()


def machine(free_bytes: int, bandwidth: float = 10e9) -> Machine:
    speed = MachineSpeed(bandwidth, 4, MappingProxyType({}))
    return Machine(free_bytes, speed, EdgeConfig())


def test_on_a_new_machine_there_is_the_built_in_model_and_a_catalogue() -> None:
    found = view()

    (builtin,) = found["models"]
    assert (builtin["reference"], builtin["source"]) == ("builtin", "builtin")
    assert builtin["fitting_context"] == builtin["context_length"] == 1024
    assert builtin["tokens_per_s"] > 0
    assert builtin["license"] == "apache-2.0"
    assert found["machine"]["bandwidth_bytes_per_s"] > 0
    assert {r["name"] for r in found["recommended"]} == set(load_registry().models)
    assert all(record["estimated"] for record in found["recommended"])
    assert not any(record["installed"] for record in found["recommended"])


def test_pulled_and_imported_models_are_listed_with_what_they_need(
    hub: HubServer, tmp_path: Path
) -> None:
    graph = write_folder(tmp_path / "Tiny-ONNX", storage="int4")
    files = {path.name: path.read_bytes() for path in graph.parent.iterdir()}
    hub.add_repo("acme/Tiny-GGUF", {"tiny-F32.gguf": tiny_model(TinySpec(context=4096))})
    hub.add_repo("acme/Tiny-ONNX", files)
    for name in ("acme/Tiny-GGUF", "acme/Tiny-ONNX"):
        assert edge_llm("pull", f"hf:{name}").returncode == 0
    tree = OllamaTree(tmp_path / "ollama")
    tree.add("registry.ollama.ai/library/tiny/latest", tree.manifest())
    imported = import_model("ollama:tiny:latest", OllamaStore(tree.folder))
    hub.requests.clear()

    found = {record["reference"]: record for record in view()["models"]}

    assert hub.requests == []
    assert list(found) == [
        "builtin",
        "hf:acme/Tiny-GGUF:F32",
        "hf:acme/Tiny-ONNX:model.onnx",
        "ollama:tiny:latest",
    ]
    assert [record["source"] for record in found.values()] == ["builtin", "hub", "hub", "import"]
    assert found["hf:acme/Tiny-GGUF:F32"]["fitting_context"] == 4096
    assert found["hf:acme/Tiny-ONNX:model.onnx"]["quantization"] == "int4"
    assert found["ollama:tiny:latest"]["bytes"] == imported.num_bytes
    assert all(record["problem"] is None for record in found.values())
    assert all(record["tokens_per_s"] > 0 for record in found.values())


def test_a_model_that_cannot_be_used_is_listed_with_its_problem(tmp_path: Path) -> None:
    tree = OllamaTree(tmp_path / "ollama")
    tree.add("registry.ollama.ai/library/tiny/latest", tree.manifest())
    model = import_model("ollama:tiny:latest", OllamaStore(tree.folder))
    model.path.unlink()

    broken = view()["models"][-1]
    shown = on_terminal("models")

    assert "is gone" in broken["problem"]
    assert "problem: ollama:tiny:latest" in shown


def test_a_pulled_model_of_the_catalogue_is_marked(hub: HubServer) -> None:
    repo = load_registry().find("qwen3-0.6b").gguf[0]
    hub.add_repo(repo, {"qwen3-0.6b-q8_0.gguf": tiny_model(TinySpec(storage="Q8_0"))})
    assert edge_llm("pull", "qwen3-0.6b").returncode == 0

    recommended = {record["name"]: record for record in view()["recommended"]}

    assert recommended["qwen3-0.6b"]["installed"] is True
    assert recommended["mistral-7b"]["installed"] is False


def test_a_terminal_gets_two_tables() -> None:
    lines = on_terminal("models").splitlines()

    assert lines[0].split()[:3] == ["on", "this", "machine"]
    assert lines[1].startswith("builtin")
    assert any(line.startswith("qwen3-0.6b") for line in lines)
    assert "estimated" in " ".join(lines[-3:])


def test_the_best_that_is_fast_enough_comes_first() -> None:
    found = describe_recommended(machine(16 * GIB), [])

    good = [record for record in found if record["verdict"] == "good"]
    sizes = [record["parameters_billion"] for record in good]
    assert found[: len(good)] == good
    assert sizes == sorted(sizes, reverse=True)
    assert all(record["tokens_per_s"] >= READING_SPEED for record in good)
    slow = [record for record in found if record["verdict"] == "slow"]
    assert {record["name"] for record in slow} >= {"mistral-7b"}
    assert all(record["tokens_per_s"] < READING_SPEED for record in slow)


def test_what_does_not_fit_is_said_and_comes_last() -> None:
    found = {record["name"]: record for record in describe_recommended(machine(GIB), [])}

    large = found["mistral-7b"]
    assert (large["verdict"], large["fits"], large["fitting_context"]) == ("does not fit", False, 0)
    assert found["smollm2-135m"]["fits"] is True
    assert list(found.values())[-1]["verdict"] == "does not fit"


def test_estimates_grow_with_the_model_and_speeds_with_the_machine() -> None:
    slow = {r["name"]: r for r in describe_recommended(machine(16 * GIB, 5e9), [])}
    fast = {r["name"]: r for r in describe_recommended(machine(16 * GIB, 50e9), [])}

    for name, record in slow.items():
        assert fast[name]["tokens_per_s"] > record["tokens_per_s"]
        assert record["estimated_bytes"] > record["parameters_billion"] * 0.5e9
    assert slow["qwen3-0.6b"]["quantization"] == "Q8_0"
    assert slow["mistral-7b"]["quantization"] == "Q4_K_M"


def test_nothing_fits_in_no_memory() -> None:
    assert {r["verdict"] for r in describe_recommended(machine(1 << 20), [])} == {"does not fit"}
