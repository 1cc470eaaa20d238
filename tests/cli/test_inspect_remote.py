"""`edge-llm inspect` of models on the hub: headers and small files are fetched, nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from typing import Any

import pytest

from edge_llm.hub.gguf_types import ValueType
from edge_llm.hub.registry import load_registry
from tests.cli.test_chat import COMMAND
from tests.support.gguf_files import (
    STRING,
    Key,
    TinySpec,
    build_gguf,
    tiny_metadata,
    tiny_model,
    tiny_tensors,
)
from tests.support.hub_server import Fault, HubServer, make_file
from tests.support.onnx_files import write_folder
from tests.support.sparse_files import vocabulary_bytes, write_sparse_model


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "EDGE_LLM_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "inspect", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def record(*arguments: str) -> dict[str, Any]:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_of_four_gigabytes_only_the_header_is_fetched(hub: HubServer, tmp_path: Path) -> None:
    path = write_sparse_model(tmp_path / "big-Q4_0.gguf")
    assert path.stat().st_size > 4e9
    file = make_file(path.name, path, sha256="0" * 64)
    hub.add_repo("acme/Big-GGUF", {path.name: file, "mmproj-big-f16.gguf": b"GGUF"})

    found = record("hf:acme/Big-GGUF:Q4_0")

    assert hub.bytes_sent <= vocabulary_bytes(path) + (2 << 20)
    assert found["fetched_bytes"] == hub.bytes_sent
    assert found["file_bytes"] == path.stat().st_size
    assert (found["source"], found["repo"], found["license"]) == (
        "hub",
        "acme/Big-GGUF",
        "apache-2.0",
    )
    assert found["commit"] == hub.repos["acme/Big-GGUF"].main
    assert found["parameters"] > 7e9
    assert found["kv_bytes_per_token"] == 32 * 2 * 8 * 128 * 2
    assert found["contexts"][-1]["context"] == 131072
    assert found["vision"]["files"] == ["mmproj-big-f16.gguf"]
    assert "path" not in found
    assert not (tmp_path / "hf" / "hub").exists()


def test_it_says_the_same_as_of_the_file_itself(hub: HubServer, tmp_path: Path) -> None:
    path = tmp_path / "tiny-F32.gguf"
    path.write_bytes(tiny_model(TinySpec(context=4096)))
    hub.add_repo("acme/Tiny-GGUF", {path.name: path.read_bytes()})

    remote, local = record("acme/Tiny-GGUF"), record(str(path))

    measured = ("memory", "speed", "contexts", "model", "source")
    for key in set(local) - {"path", *measured}:
        assert remote[key] == local[key], key


def test_split_models_are_read_part_by_part(hub: HubServer, tmp_path: Path) -> None:
    spec = TinySpec()
    keys, tensors = tiny_metadata(spec), tiny_tensors(spec)
    u16 = ValueType.UINT16

    def part(number: int) -> list[Key]:
        own = keys if number == 0 else [keys[0]]
        return [
            *own,
            Key("split.no", u16, number),
            Key("split.count", u16, 2),
            Key("split.tensors.count", ValueType.INT32, len(tensors)),
        ]

    hub.add_repo(
        "acme/Split-GGUF",
        {
            "q/s-F32-00001-of-00002.gguf": build_gguf(part(0), tensors[:5]),
            "q/s-F32-00002-of-00002.gguf": build_gguf(part(1), tensors[5:]),
        },
    )

    found = record("hf:acme/Split-GGUF")

    assert found["problem"] is None
    assert found["tensor_types"]["F32"]["tensors"] == len(tensors)


def test_of_an_onnx_model_the_small_files_are_read(hub: HubServer, tmp_path: Path) -> None:
    graph = write_folder(tmp_path / "Tiny-ONNX", storage="int4")
    root = graph.parent
    settings = {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_size": 64,
        "max_position_embeddings": 2048,
    }
    files = {path.name: path.read_bytes() for path in root.iterdir() if path.suffix != ".onnx"}
    files["config.json"] = json.dumps(settings).encode()
    hub.add_repo("acme/Tiny-ONNX", {**files, "onnx/model_q4.onnx": graph.read_bytes()})

    found = record("hf:acme/Tiny-ONNX")

    assert (found["format"], found["quantization"]) == ("onnx", "q4")
    assert found["context_length"] == 2048
    assert found["kv_bytes_per_token"] == 2 * 2 * 2 * 16 * 4
    assert found["weights_bytes"] == graph.stat().st_size
    assert found["template"]["turns_protected"] is True
    assert found["not_read"]
    asked = [request.path for request in hub.requests if request.method == "GET"]
    assert not any(".onnx" in path for path in asked)


def test_a_token_goes_to_the_hub_and_not_beyond(hub: HubServer) -> None:
    hub.add_repo("acme/Gated-GGUF", {"g-F32.gguf": tiny_model(TinySpec())}, gated="auto")

    refused = run("hf:acme/Gated-GGUF")

    assert refused.returncode == 3
    assert "accept it at" in refused.stderr
    hub.granted.add("acme/Gated-GGUF")
    hub.requests.clear()
    assert run("hf:acme/Gated-GGUF", HF_TOKEN=hub.token).returncode == 0
    assert {r.host for r in hub.requests if "authorization" in r.headers} == {"hub"}


def test_a_server_without_ranges_is_not_asked_for_gigabytes(hub: HubServer, tmp_path: Path) -> None:
    path = write_sparse_model(tmp_path / "big-Q4_0.gguf")
    file = make_file(path.name, path, sha256="0" * 64)
    hub.add_repo("acme/Big-GGUF", {path.name: file})
    hub.add_fault(Fault("*big*", times=99, host="cdn", ignore_range=True))

    done = run("hf:acme/Big-GGUF")

    assert done.returncode == 3
    assert "cannot give parts of files" in done.stderr
    assert hub.bytes_sent < 100 << 20


@pytest.mark.parametrize("after", [0, 1, 100_000])
def test_a_broken_connection_is_made_again(hub: HubServer, after: int) -> None:
    data = tiny_model(TinySpec(extra_tokens=20_000))
    hub.add_repo("acme/Tiny-GGUF", {"t-F32.gguf": data})
    hub.cut("t-F32.gguf", after=after)

    assert record("hf:acme/Tiny-GGUF")["problem"] is None


def test_a_busy_hub_is_asked_again(hub: HubServer) -> None:
    hub.add_repo("acme/Tiny-GGUF", {"t-F32.gguf": tiny_model(TinySpec())})
    hub.fail("*", 429, times=1, Retry_After="0")
    hub.fail("*t-F32.gguf", 503, times=1)

    assert record("hf:acme/Tiny-GGUF")["problem"] is None


def lying(hub: HubServer, content: bytes, delivered: bytes) -> str:
    hub.add_repo("acme/Lies-GGUF", {"l-F32.gguf": content})
    hub.deliver_other("acme/Lies-GGUF", "l-F32.gguf", delivered)
    return "hf:acme/Lies-GGUF"


def test_headers_that_lie_end_with_an_error(hub: HubServer) -> None:
    data = tiny_model(TinySpec(extra_tokens=20_000))
    vast = b"GGUF" + pack("<IQQ", 3, 0, 1) + pack("<Q", 1) + b"k" + pack("<IQ", STRING, 1 << 40)
    cases = {
        "no GGUF": b"<!DOCTYPE html>" + bytes(len(data)),
        "claims": vast + bytes(len(data) - len(vast)),
        "ends": data[:300_000],
    }
    for text, delivered in cases.items():
        reference = lying(hub, data, delivered[: len(data)])
        done = run(reference, HF_HUB_DOWNLOAD_TIMEOUT="1")
        assert done.returncode == 3, text
        assert "Traceback" not in done.stderr


def test_a_name_of_the_catalogue_is_looked_up_where_it_is_kept(hub: HubServer) -> None:
    repo = load_registry().find("smollm2-360m").gguf[-1]
    hub.add_repo(repo, {"smol-q8_0.gguf": tiny_model(TinySpec(storage="Q8_0"))})

    found = record("smollm2-360m")

    assert (found["repo"], found["file"]) == (repo, "smol-q8_0.gguf")
    assert found["model"] == "smollm2-360m"


def test_what_is_not_on_the_hub_is_named(hub: HubServer) -> None:
    hub.add_repo("acme/Empty", {"README.md": b"# nothing"})

    assert "holds no GGUF or ONNX" in run("hf:acme/Empty").stderr
    assert run("hf:acme/Nothing").returncode == 3
    assert run("no-such-name").returncode == 3


def test_offline_nothing_is_asked(hub: HubServer) -> None:
    hub.add_repo("acme/Tiny-GGUF", {"t-F32.gguf": tiny_model(TinySpec())})

    done = run("hf:acme/Tiny-GGUF", EDGE_LLM_OFFLINE="1", HF_ENDPOINT="https://hub.example.invalid")

    assert done.returncode == 3
    assert "EDGE_LLM_OFFLINE" in done.stderr


def test_what_is_not_here_cannot_be_loaded(hub: HubServer) -> None:
    hub.add_repo("acme/Tiny-GGUF", {"t-F32.gguf": tiny_model(TinySpec())})

    done = run("hf:acme/Tiny-GGUF", "--load")

    assert done.returncode == 3
    assert "edge-llm pull" in done.stderr
