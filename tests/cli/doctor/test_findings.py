"""What the doctor makes of recorded machines and of libraries that are built wrongly."""

import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from edge_llm.backends.llama_cpp.native import LLAMA_CPP_PYTHON_VERSION
from edge_llm.backends.llama_cpp.probe import LibraryProbe
from edge_llm.backends.onnx.probe import OnnxProbe
from edge_llm.cli.doctor.caches import examine_caches, measure_folder
from edge_llm.cli.doctor.finding import Finding, Section
from edge_llm.cli.doctor.libraries import examine_libraries, rebuild_command
from edge_llm.cli.doctor.machine import examine_machine
from edge_llm.cli.doctor.run import to_record
from edge_llm.cli.doctor.settings import examine_settings
from edge_llm.config import EdgeConfig, explain_config
from edge_llm.device.machine import read_machine
from edge_llm.device.speed import MachineSpeed
from tests.support.machines import CONTAINER, LAPTOP, PI_4, PI_5, write_machine

SPEED = MachineSpeed(3.4e9, 4)
GOOD_ONNX = OnnxProbe("1.31.1", ("CPUExecutionProvider",), ("cpu (CPUExecutionProvider)",))


def examine(tmp_path: Path, files: dict[str, str], architecture: str) -> Section:
    machine = read_machine(tmp_path, write_machine(tmp_path / "m", files))
    # Power and disk are those of the machine that runs the test.
    machine = replace(machine, architecture=architecture, on_battery=False)
    return examine_machine(machine, SPEED, None)


def about(section: Section, *severities: str) -> set[str]:
    return {f.about for f in section.findings if f.severity in severities}


def llama(**features: int) -> LibraryProbe:
    return LibraryProbe(
        LLAMA_CPP_PYTHON_VERSION, "CPU : ...", MappingProxyType({"REPACK": 1, **features})
    )


def of_llama(probe: LibraryProbe, *features: str) -> list[Finding]:
    section = examine_libraries(probe, GOOD_ONNX, features)
    return [finding for finding in section.findings if finding.about == "llama.cpp"]


def test_a_badly_supplied_pi_4_is_told_so(tmp_path: Path) -> None:
    section = examine(tmp_path, PI_4, "aarch64")

    assert about(section, "error") == {"power"}
    assert {"heat", "clock", "memory"} <= about(section, "warning")
    texts = "\n".join(f.what + f.fix for f in section.findings)
    assert "psi=1" in texts
    assert "governor" in texts
    assert "dot product" in texts


def test_a_healthy_pi_5_hears_of_its_limits_alone(tmp_path: Path) -> None:
    section = examine(tmp_path, PI_5, "aarch64")

    assert about(section, "error", "warning") == set()
    assert [f.what for f in section.findings if f.about == "limits"] == [
        "the control group allows 4.0 GiB of memory",
        "the control group allows 2 processors",
    ]
    assert section.facts["big_little"] is False


def test_a_laptop_short_of_memory_hears_so(tmp_path: Path) -> None:
    section = examine(tmp_path, LAPTOP, "x86_64")

    assert about(section, "warning") == {"memory"}
    assert {"processor", "heat"} <= about(section, "note")
    assert section.facts["big_little"] is True


def test_a_host_that_hides_instructions_is_noticed(tmp_path: Path) -> None:
    section = examine(tmp_path, CONTAINER, "x86_64")

    assert "processor" in about(section, "warning")
    assert "host" in "".join(f.fix for f in section.findings)


def test_others_at_work_are_said(tmp_path: Path) -> None:
    machine = read_machine(tmp_path, write_machine(tmp_path / "m", PI_5))

    found = examine_machine(machine, SPEED, 1.4)

    assert any("1.4 cores busy" in f.what for f in found.findings)
    assert not any("busy" in f.what for f in examine_machine(machine, SPEED, 0.1).findings)


def test_a_llama_cpp_without_dot_products_gets_the_command_that_builds_it() -> None:
    (found,) = of_llama(llama(NEON=1, ARM_FMA=1), "NEON", "FP16_VA", "DOTPROD")

    assert found.severity == "warning"
    assert "without DOTPROD, FP16_VA" in found.what
    assert found.fix == rebuild_command()
    assert found.fix.startswith('CMAKE_ARGS="-DGGML_NATIVE=ON" ' + sys.executable)
    for part in ("--force-reinstall", "--no-cache-dir", "--no-binary llama-cpp-python"):
        assert part in found.fix
    assert found.fix.endswith(f"llama-cpp-python=={LLAMA_CPP_PYTHON_VERSION}")


@pytest.mark.parametrize(
    ("built", "has", "severity"),
    [
        ({"AVX": 1}, ("AVX", "AVX2", "F16C", "FMA"), "warning"),
        (
            {"AVX": 1, "AVX2": 1, "FMA": 1, "F16C": 1},
            ("AVX", "AVX2", "FMA", "F16C", "AVX512"),
            "note",
        ),
        ({"AVX": 1, "AVX2": 1}, ("AVX",), "error"),
        ({"NEON": 1, "DOTPROD": 1, "MATMUL_INT8": 1}, ("NEON", "DOTPROD"), "error"),
    ],
)
def test_builds_and_processors_are_held_against_each_other(
    built: dict[str, int], has: tuple[str, ...], severity: str
) -> None:
    (found,) = of_llama(llama(**built), *has)

    assert found.severity == severity


def test_a_build_that_fits_is_no_finding() -> None:
    assert of_llama(llama(NEON=1, DOTPROD=1, FP16_VA=1), "NEON", "FP16_VA", "DOTPROD") == []
    assert (
        of_llama(llama(NEON=1, DOTPROD=1, FP16_VA=1, SVE=0), "NEON", "DOTPROD", "FP16_VA", "SVE")
        == []
    )


def test_a_library_that_is_absent_wrong_or_dead_is_said() -> None:
    assert of_llama(LibraryProbe())[0].fix.endswith("'edge-llm[gguf]'")
    assert "0.2.9 is installed" in of_llama(LibraryProbe("0.2.9"))[0].what
    dead = LibraryProbe(LLAMA_CPP_PYTHON_VERSION, problem="it uses instructions ...")
    assert (of_llama(dead)[0].severity, of_llama(dead)[0].fix) == ("error", rebuild_command())
    onnx = examine_libraries(llama(), OnnxProbe(problem="it was ended by SIGILL"), None)
    assert [f.severity for f in onnx.findings if f.about == "onnxruntime"] == ["error"]


def test_the_worst_is_said_first(tmp_path: Path) -> None:
    record = to_record([examine(tmp_path, PI_4, "aarch64")])

    order = [finding["severity"] for finding in record["findings"]]
    assert order == sorted(order, key=["error", "warning", "note"].index)


def test_caches_are_measured_and_what_was_not_finished_is_named(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    blobs = hub / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "whole").write_bytes(b"x" * 1000)
    with (blobs / "part.incomplete").open("wb") as file:
        file.truncate(70 << 20)
    (hub / "models--a--b" / "link").symlink_to(blobs / "whole")

    config = EdgeConfig(cache_dir=str(tmp_path / "none"))
    section = examine_caches(config, {"HF_HUB_CACHE": str(hub)})

    assert section.facts["models"]["repositories"] == 1
    assert section.facts["models"]["size_bytes"] == 1000 + (70 << 20)
    assert "70.0 MiB of downloads" in section.findings[0].what
    assert not measure_folder(hub, budget_s=-1.0).is_complete


def test_settings_come_with_their_sources() -> None:
    environ = {
        "EDGE_LLM_CONTEXT_SIZE": "auto",
        "EDGE_LLM_PREFIX_SLOTS": "-4",
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "ACTIVE",
        "http_proxy": "http://10.0.0.1:3128",
    }

    section = examine_settings(explain_config(environ), environ)

    settings = section.facts["settings"]
    assert settings["context_size"] == {"value": "auto", "source": "EDGE_LLM_CONTEXT_SIZE"}
    assert settings["max_num_seqs"] == {"value": 4, "source": "default"}
    assert section.facts["environment"]["http_proxy"] == "http://10.0.0.1:3128"
    assert [f.severity for f in section.findings] == ["error", "warning", "note"]
    assert explain_config(environ).config == EdgeConfig(context_size="auto")


def test_a_setting_that_needs_another_is_judged_beside_it() -> None:
    alone = {"EDGE_LLM_PROVIDER_OPTIONS": "api_key=hidden,soc=60"}
    both = {**alone, "EDGE_LLM_PROVIDER": "qnn"}

    assert [f.severity for f in examine_settings(explain_config(alone), alone).findings] == [
        "error"
    ]
    section = examine_settings(explain_config(both), both)
    assert section.findings == []
    shown = section.facts["settings"]["provider_options"]["value"]
    assert shown == {"api_key": "set", "soc": "60"}


def test_an_unknown_variable_is_a_finding_and_no_setting() -> None:
    section = examine_settings(explain_config({"EDGE_LLM_THREAD": "4"}), {})

    assert "EDGE_LLM_THREADS" in section.findings[0].what
    assert not [name for name in section.facts["settings"] if name.startswith("EDGE_LLM")]
