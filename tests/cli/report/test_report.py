"""`edge-llm report` as a user runs it, and its parts."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from edge_llm.cli.report.measure import measure_model
from edge_llm.cli.report.progress import LineProgress
from edge_llm.cli.report.run import describe, installed_references, measure_apart
from edge_llm.cli.report.watch import Watch
from edge_llm.errors import ModelNotFoundError
from tests.cli.test_chat import COMMAND
from tests.support.gguf_files import write_tiny_model
from tests.support.machines import PI_4, PI_5, write_machine
from tests.support.onnx_files import write_folder


def report(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "report", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, **environ},
    )


def test_one_file_holds_machine_models_and_benchmark_without_secrets(tmp_path: Path) -> None:
    tiny = write_tiny_model(tmp_path / "tiny.gguf", context=2048)
    file = tmp_path / "report.json"
    done = report(
        *("--quick", "-o", str(file), "builtin", str(tiny), "no-such-model"),
        HF_TOKEN="hf_PlantedTokenOfTheEnvironment12",
        EDGE_LLM_SYSTEM_PROMPT="",
        USER="plantedusername",
    )
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    record = json.loads(text)

    builtin, measured, missing = record["models"]
    assert [row["context"] for row in builtin["speed"]] == [64, 512]
    for model in (builtin, measured):
        assert model["memory"]["estimated_bytes"] > 0
        assert model["load_s"] > 0
        for row in model["speed"]:
            assert row["decode_best_tok_s"] >= row["decode_tok_s"] > 0
            assert row["prefill_tok_s"] > 0
            assert row["predicted_tok_s"] > 0
    assert "no-such-model" in missing["problem"]
    benchmark = record["builtin_benchmark"]
    assert (benchmark["num_cases"], len(benchmark["by_suite"])) == (60, 3)
    assert 0.0 < benchmark["accuracy"] <= 1.0
    assert record["during"]["samples"] >= 2
    assert record["machine"]["machine"]["memory_bytes"] > 0
    assert "PlantedToken" not in text
    assert "plantedusername" not in text
    assert "tok/s" in done.stdout
    assert "1/5: machine" in done.stderr


def test_a_file_that_cannot_be_written_is_known_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    done = report("-o", str(tmp_path / "absent" / "report.json"))

    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "machine" not in done.stderr


def test_without_names_all_installed_models_are_measured() -> None:
    assert installed_references()[0] == "builtin"


def test_an_onnx_model_is_measured_too(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", storage="int4").parent

    found = measure_model(str(folder), quick=True)

    assert (found["format"], found["quantization"]) == ("onnx", "int4")
    assert found["placement"] == "CPUExecutionProvider"
    assert found["speed"][0]["decode_tok_s"] > 0


def test_a_model_that_does_not_exist_is_an_error_here_and_a_line_in_the_report() -> None:
    with pytest.raises(ModelNotFoundError):
        measure_model("no-such-model.gguf", quick=True)
    assert "no-such-model" in measure_apart("no-such-model.gguf", quick=True)["problem"]


def test_a_file_that_is_no_model_is_a_line_in_the_report(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + b"\xff" * 100)

    assert measure_apart(str(path), quick=True)["problem"]


def test_the_watch_sees_what_happens_meanwhile(tmp_path: Path) -> None:
    root = write_machine(tmp_path, PI_5)
    with Watch(root, interval_s=3600) as watch:
        for name in (
            "sys/class/thermal/thermal_zone0/temp",
            "sys/devices/platform/soc/soc:firmware/get_throttled",
        ):
            (root / name).write_text(PI_4[name])

    found = watch.summary()
    assert found["samples"] == 2
    assert found["temperature_c"] == {"first": 51.25, "highest": 82.29, "last": 82.29}
    assert (found["slowed"], found["under_voltage"]) == (True, True)
    assert found["clock_khz"] == {"lowest": 2_400_000, "highest": 2_400_000}


def test_what_nobody_tells_is_unknown(tmp_path: Path) -> None:
    with Watch(tmp_path) as watch:
        pass

    found = watch.summary()
    assert (found["temperature_c"], found["slowed"]) == ("unknown", "unknown")


def test_what_failed_is_said_in_its_place() -> None:
    record = {
        "models": [{"model": "x", "problem": "gone"}],
        "builtin_benchmark": {"problem": "missing"},
    }

    assert describe(record) == ["x: gone", "built-in benchmark: missing"]


def test_lines_count_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    progress = LineProgress(2)
    for name in ("a", "b"):
        progress.begin(name)
        progress.part(1, 3)
        progress.finish()

    assert capsys.readouterr().err == "1/2: a\n2/2: b\n"
