"""How the installed libraries are asked what they are, and what is said when they do not answer."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_llm.backends import speed as speed_module
from edge_llm.backends.llama_cpp import probe as llama_probe
from edge_llm.backends.llama_cpp.native import LLAMA_CPP_PYTHON_VERSION
from edge_llm.backends.llama_cpp.probe import TIMED, library_folder, probe_library, read_probe
from edge_llm.backends.onnx.probe import OnnxQuestion, installed
from edge_llm.backends.speed import FILE_NAME, machine_speed, measure_speed
from edge_llm.config import EdgeConfig
from edge_llm.device.features import cpu_features
from edge_llm.device.speed import MachineSpeed

MACHINE = MachineSpeed(7e9, 3, {"Q8_0": 2e9})


def remember(folder: Path, config: EdgeConfig, speed: MachineSpeed, age_s: float = 0.0) -> None:
    known = speed_module._Known(speed, time.time() - age_s)
    speed_module._remember(folder, speed_module._key(config), known)


def test_llama_cpp_tells_how_it_was_built_and_how_fast_it_is() -> None:
    found = probe_library()

    assert (found.version, found.problem) == (LLAMA_CPP_PYTHON_VERSION, None)
    assert set(found.features) & {"AVX2", "NEON", "SSE3"}
    assert set(found.kernels) == set(TIMED)
    assert all(1e6 < rate < 1e13 for rate in found.kernels.values())
    # Eight bits a weight are more bytes than four, and no more work for each of them.
    assert found.kernels["Q8_0"] > found.kernels["IQ2_S"]


def test_what_it_was_built_with_can_be_asked_alone() -> None:
    found = probe_library(with_kernels=False)

    assert found.features
    assert not found.kernels


def test_a_build_for_this_machine_uses_what_the_machine_has() -> None:
    features = cpu_features()
    if features is None:
        pytest.skip("the system does not tell")
    built = {name for name, value in probe_library(with_kernels=False).features.items() if value}

    assert built & {"AVX2", "DOTPROD", "NEON"} <= set(features)


def test_answers_without_sense_are_problems() -> None:
    for text in ("", "nonsense", "{}", '{"system_info": "x", "kernels": 3}'):
        assert "makes no sense" in (read_probe("1", text).problem or ""), text


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.kill(os.getpid(), 4)", "instructions that this processor does not have"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("raise SystemExit('no such library')", "no such library"),
        ("pass", "makes no sense"),
    ],
)
def test_a_library_that_ends_its_process_ends_no_more(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "dying_probe.py"
    child.write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(llama_probe, "__name__", "dying_probe")

    assert said in (probe_library().problem or "")


def test_a_library_without_its_files_is_no_reason_to_fail(tmp_path: Path) -> None:
    assert llama_probe.time_kernels(tmp_path) == {}
    folder = library_folder()
    assert folder is not None
    assert folder.is_dir()


def test_onnxruntime_tells_its_providers() -> None:
    found = OnnxQuestion().answer()

    assert found.problem is None
    assert "CPUExecutionProvider" in found.providers
    assert any(device.startswith("cpu") for device in found.devices)


def test_only_what_is_installed_is_listed() -> None:
    assert set(installed(("numpy", "no-such-package-at-all"))) == {"numpy"}


def test_the_speed_is_measured_once_and_then_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EdgeConfig(cache_dir=str(tmp_path))
    first = measure_speed(config).speed
    monkeypatch.setattr(speed_module, "measure_speed", None)  # a second measurement would fail

    assert machine_speed(config) == first
    assert first.bandwidth > 1e6
    assert first.kernels


def test_of_the_day_the_best_rate_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = EdgeConfig(cache_dir=str(tmp_path))
    found = measure_speed(config).speed
    slow = MachineSpeed(1e6, found.threads, dict.fromkeys(found.kernels, 1e6))
    fast = MachineSpeed(1e14, found.threads, dict.fromkeys(found.kernels, 1e14))

    remember(tmp_path, config, slow)
    assert measure_speed(config).speed.bandwidth > 1e7
    remember(tmp_path, config, fast)
    assert measure_speed(config).speed == fast
    remember(tmp_path, config, fast, age_s=90_000)
    assert measure_speed(config).speed.bandwidth < 1e14


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.update(at=0),
        lambda entry: entry.update(key="another machine"),
        lambda entry: entry.update(bandwidth="fast"),
        lambda entry: entry.update(bandwidth=-1.0),
        lambda entry: entry.update(kernels=[1]),
        lambda entry: entry.clear(),
    ],
)
def test_what_is_old_foreign_or_damaged_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    assert callable(change)
    config = EdgeConfig(cache_dir=str(tmp_path))
    speed = MachineSpeed(5e9, 2, {"Q4_0": 1e9})
    monkeypatch.setattr(
        speed_module,
        "measure_speed",
        lambda _: speed_module.SpeedMeasurement(speed, llama_probe.LibraryProbe()),
    )
    remember(tmp_path, config, MACHINE)
    assert machine_speed(config) == MACHINE
    record = json.loads((tmp_path / FILE_NAME).read_text())
    change(record["speed"])
    (tmp_path / FILE_NAME).write_text(json.dumps(record))

    assert machine_speed(config) == speed
    (tmp_path / FILE_NAME).write_text("not json")
    assert machine_speed(config) == speed


def test_a_cache_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")

    assert machine_speed(EdgeConfig(cache_dir=str(blocked / "x"))).bandwidth > 0


def test_the_probe_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge_llm.backends.llama_cpp.probe", "build"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert json.loads(done.stdout)["kernels"] == {}
