"""`edge-llm inspect` as a user runs it, into a pipe and on a terminal."""

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_chat import COMMAND
from tests.support.gguf_files import (
    F32,
    Key,
    TinySpec,
    build_gguf,
    tiny_metadata,
    tiny_tensors,
    write_tiny_model,
)
from tests.support.onnx_files import write_folder, write_json


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "inspect", *arguments], capture_output=True, text=True, timeout=60
    )


def record(*arguments: str) -> dict[str, Any]:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = write_folder(tmp_path / "Tiny-Instruct", storage="int4")
    (path.parent / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\n# Tiny\n")
    return path.parent


def test_a_gguf_file_is_described_without_loading_it(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf", context=4096)

    found = record(str(path))

    assert (found["format"], found["model"], found["context_length"]) == ("gguf", "tiny", 4096)
    assert found["file_bytes"] == path.stat().st_size
    memory = found["memory"]
    parts = ("weights", "kv_cache", "compute", "overhead")
    assert memory["total_bytes"] == sum(memory[f"{part}_bytes"] for part in parts)
    assert memory["fits"] is True
    assert found["threads"]["origin"] == "assumed"
    assert found["template"]["turns_protected"] is True
    assert found["tokens"]["eos"] in found["tokens"]["ends"]
    assert "placement" not in found


def test_the_built_in_model_is_meant_when_none_is_named() -> None:
    found = record()

    assert (found["model"], found["license"]) == ("builtin", "apache-2.0")


def test_an_onnx_folder_is_described_from_its_graph(onnx: Path) -> None:
    found = record(str(onnx))

    assert (found["format"], found["quantization"], found["license"]) == ("onnx", "int4", "mit")
    assert "GroupQueryAttention" in found["attention"]
    assert found["cache"]["parts"] == 4
    assert found["cache"]["heads"] == "2 of 16"
    assert found["opsets"]["com.microsoft"] == 1
    assert found["operators"]["com.microsoft.MatMulNBits"] == 15
    assert found["inputs"][-1].endswith("and 3 more like it")
    assert found["template"]["turns_protected"] is True
    assert found["tokens"]["ends"] == ["<|endoftext|>", "<|im_end|>"]


def test_quantisation_and_experts_are_counted(tmp_path: Path) -> None:
    path = write_tiny_model(
        tmp_path / "tiny.gguf", arch="qwen3moe", experts=4, storage="Q8_0", tied=False
    )

    found = record(str(path))

    assert found["experts"] == {"count": 4, "used": 2}
    experts = 2 * 4 * 3 * 32 * 64  # layers, experts, matrices, width, feed-forward
    assert found["parameters"] - found["active_parameters"] == experts // 2
    types = found["tensor_types"]
    assert list(types) == ["Q8_0", "F32"]
    assert sum(use["bytes"] for use in types.values()) == found["weights_bytes"]
    assert sum(use["tensors"] for use in types.values()) > 20


def test_memory_and_speed_are_given_at_several_contexts(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf", context=5000)

    found = record(str(path))

    contexts = found["contexts"]
    assert [line["context"] for line in contexts] == [1024, 2048, 4096, 5000]
    per_token = 2 * 2 * 2 * 8 * 2  # layers, keys and values, KV heads, length, bytes
    assert found["kv_bytes_per_token"] == per_token
    assert contexts[1]["kv_cache_bytes"] == 2048 * per_token
    totals = [line["total_bytes"] for line in contexts]
    assert totals == sorted(totals)
    rates = [line["tokens_per_s"] for line in contexts]
    assert rates == sorted(rates, reverse=True)
    assert found["speed"]["tokens_per_s"] >= rates[0] > 0
    assert found["speed"]["bandwidth_bytes_per_s"] > 0


def test_what_is_wrong_with_a_model_is_said(tmp_path: Path) -> None:
    path = write_tiny_model(
        tmp_path / "tiny.gguf",
        context=1 << 27,  # half a terabyte
        layers=32,
        kv_heads=4,
        chat_template="{% for m in messages %}[INST]{{ m.content[::2] }}[/INST]{% endfor %}",
        extra=(Key("llama.rope.scaling.factor", F32, 8.0),),
    )

    warnings = "\n".join(record(str(path))["warnings"])

    for text in ("turns", "slices of strings", "linearly by 8", "more memory than is free"):
        assert text in warnings


def test_a_file_without_eos_is_named_with_what_llama_cpp_takes_instead(tmp_path: Path) -> None:
    spec = TinySpec()
    keys = [key for key in tiny_metadata(spec) if key.name != "tokenizer.ggml.eos_token_id"]
    path = tmp_path / "tiny.gguf"
    path.write_bytes(build_gguf(keys, tiny_tensors(spec)))

    (warning,) = record(str(path))["warnings"]

    assert "names no EOS" in warning
    assert "number 11" in warning


def test_a_vision_part_beside_the_model_is_seen(tmp_path: Path) -> None:
    template = "{% for m in messages %}{% if m.type == 'image' %}<image>{% endif %}{% endfor %}"
    path = write_tiny_model(tmp_path / "tiny.gguf", chat_template=template)
    assert record(str(path))["vision"]["supported"] is False
    (tmp_path / "mmproj-tiny-f16.gguf").write_bytes(b"")

    vision = record(str(path))["vision"]

    assert vision["supported"] is True
    assert vision["files"] == ["mmproj-tiny-f16.gguf"]


def test_an_onnx_model_says_what_would_run_it(onnx: Path) -> None:
    found = record(str(onnx), "--device", "cpu")

    assert found["placement"]["nodes"] == {"CPUExecutionProvider": found["nodes"]}
    assert found["placement"]["elsewhere"] == 0
    assert next(iter(found["tensor_types"])) in ("float32", "int4 blocks")
    assert found["tensor_types"]["int4 blocks"]["tensors"] >= 15
    assert found["contexts"][-1]["context"] == found["context_length"]
    assert found["warnings"] == []


def test_loading_tells_what_runs_where(onnx: Path) -> None:
    found = record(str(onnx), "--load", "--context-size", "64")

    assert found["placement"]["provider"] == "CPUExecutionProvider"
    assert found["placement"]["elsewhere"] == 0
    assert found["loaded"]["max_model_len"] == 64


def test_a_model_that_cannot_be_run_is_described_all_the_same(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "tiny")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"past_key_values.0.key", b"past_mamba_statez.key"))

    found = record(str(path))

    assert "recurrent" in found["problem"]
    assert found["nodes"] > 0
    assert "memory" not in found


def test_what_is_no_model_ends_with_the_code_for_models(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_text("hello")

    assert run(str(tmp_path / "x.gguf")).returncode == 3
    assert run(str(tmp_path / "nothing.gguf")).returncode == 3


def test_a_device_that_is_not_here_ends_with_the_code_for_usage(onnx: Path) -> None:
    done = run(str(onnx), "--load", "--device", "gpu", "--context-size", "64")

    assert done.returncode in (2, 3)  # 3 where a provider is built in that finds no GPU
    assert "GPU" in done.stderr
    assert run(str(onnx), "--device", "tpu").returncode == 2
    assert run(str(onnx), "--provider", "qnn", "--provider-option", "x").returncode == 2


def test_a_vocabulary_that_does_not_protect_turns_is_named(onnx: Path) -> None:
    write_json(onnx / "tokenizer_config.json", {"eos_token": "<|im_end|>"})
    (onnx / "chat_template.jinja").write_text(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    )

    template = record(str(onnx))["template"]

    assert template["turns_protected"] is False
    assert "plain text" in template["problem"]


def test_a_terminal_gets_a_table_and_no_escape_sequences_of_the_file(tmp_path: Path) -> None:
    path = write_folder(tmp_path / "tiny")
    write_json(path.parent / "config.json", {"model_type": "evil\x1b[31mred"})
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    process = subprocess.Popen(
        [*COMMAND, "inspect", str(path)], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    shown = b""
    try:
        while data := os.read(master, 4096):
            shown += data
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(master)

    text = shown.decode()
    assert process.wait(timeout=60) == 0
    assert "\x1b" not in text
    assert "evil" in text
    assert "memory" in text
    assert "MiB" in text
