"""The doctor on the libraries: which are there, and whether they use what the processor can do."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from edge_llm.backends.llama_cpp.native import LLAMA_CPP_PYTHON_VERSION
from edge_llm.backends.llama_cpp.probe import LibraryProbe
from edge_llm.backends.onnx.native import REFUSED_VERSIONS
from edge_llm.backends.onnx.probe import PACKAGES, PLUGINS, OnnxProbe, installed
from edge_llm.cli.doctor.finding import Finding, Section

OURS = (
    *("edge-llm", "llama-cpp-python", *PACKAGES, *PLUGINS, "huggingface-hub", "numpy"),
    *("llguidance", "tokenizers", "jinja2", "psutil", "rich", "typer"),
)

MATTERS = ("AVX", "AVX2", "F16C", "FMA", "DOTPROD")
"""Without one of these that the processor has, everything is several times slower."""
HELPS = ("AVX512", "AVX512_VNNI", "AVX_VNNI", "AMX_INT8", "MATMUL_INT8", "FP16_VA")
"""Without one of these prompts are read more slowly. SVE is left out: on most cores that have it
the kernels without it are as fast."""


def examine_libraries(
    llama: LibraryProbe, onnx: OnnxProbe, features: Sequence[str] | None
) -> Section:
    """Versions and builds, and what of them is wrong here."""
    facts: dict[str, Any] = {
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "packages": installed(OURS),
        "llama_cpp": {
            "version": llama.version or "not installed",
            "built_with": sorted(name for name, value in llama.features.items() if value),
            "system_info": llama.system_info,
        },
        "onnxruntime": {
            "version": onnx.version or "unusable",
            "providers": list(onnx.providers),
            "devices": list(onnx.devices),
        },
    }
    if llama.kernels:
        facts["kernels_gb_s"] = {name: round(r / 1e9, 2) for name, r in llama.kernels.items()}
    return Section("libraries", facts, [*_llama_cpp(llama, features), *_onnxruntime(onnx)])


def rebuild_command() -> str:
    """What builds llama.cpp anew for the processor at hand."""
    return (
        f'CMAKE_ARGS="-DGGML_NATIVE=ON" {sys.executable} -m pip install --force-reinstall'
        " --no-cache-dir --no-deps --no-binary llama-cpp-python"
        f" llama-cpp-python=={LLAMA_CPP_PYTHON_VERSION}"
    )


def _llama_cpp(probe: LibraryProbe, features: Sequence[str] | None) -> Iterator[Finding]:
    if probe.version is None:
        yield Finding(
            "note",
            "llama.cpp",
            "llama-cpp-python is not installed",
            "GGUF models cannot be run; ONNX models can",
            f"{sys.executable} -m pip install 'edge-llm[gguf]'",
        )
        return
    if probe.version != LLAMA_CPP_PYTHON_VERSION:
        yield Finding(
            "error",
            "llama.cpp",
            f"llama-cpp-python {probe.version} is installed, {LLAMA_CPP_PYTHON_VERSION} is needed",
            "its structures differ, so no GGUF model is loaded",
            f"{sys.executable} -m pip install llama-cpp-python=={LLAMA_CPP_PYTHON_VERSION}",
        )
    if probe.problem is not None:
        yield Finding(
            "error",
            "llama.cpp",
            f"llama.cpp does not start: {probe.problem}",
            "GGUF models cannot be run; it was probably built on another machine",
            rebuild_command(),
        )
        return
    if features is not None and probe.features:
        yield from _build(probe, features)


def _build(probe: LibraryProbe, features: Sequence[str]) -> Iterator[Finding]:
    """What the processor has and the build does not use, and the other way round."""
    built = {name for name, value in probe.features.items() if value}
    lacking = [name for name in MATTERS if name in features and name not in built]
    unused = [name for name in HELPS if name in features and name not in built]
    if lacking:
        yield Finding(
            "warning",
            "llama.cpp",
            f"llama.cpp was built without {', '.join(lacking + unused)}, which the processor has",
            "GGUF models run several times slower than they could",
            rebuild_command(),
        )
    elif unused:
        yield Finding(
            "note",
            "llama.cpp",
            f"llama.cpp was built without {', '.join(unused)}, which the processor has",
            "GGUF models read prompts more slowly than they could",
            rebuild_command(),
        )
    known = {*MATTERS, *HELPS}
    foreign = sorted(name for name in built & known if name not in features)
    if foreign:
        yield Finding(
            "error",
            "llama.cpp",
            f"llama.cpp was built with {', '.join(foreign)}, which the processor does not have",
            "loading a model may end the process with an illegal instruction",
            rebuild_command(),
        )
    if not built & {"REPACK"} and built:
        yield Finding(
            "note",
            "llama.cpp",
            "llama.cpp was built without REPACK",
            "Q4_0, Q4_K and IQ4_NL run slower than they could",
            rebuild_command(),
        )


def _onnxruntime(probe: OnnxProbe) -> Iterator[Finding]:
    present = installed(PACKAGES)
    if len(present) > 1:
        yield Finding(
            "error",
            "onnxruntime",
            f"{' and '.join(present)} are installed together",
            "they overwrite each other's files, and which one runs is chance",
            f"{sys.executable} -m pip uninstall {' '.join(present)}, then install one of them",
        )
    if probe.problem is not None:
        refused = set(present.values()) & REFUSED_VERSIONS
        yield Finding(
            "error",
            "onnxruntime",
            f"onnxruntime {' '.join(refused)} does not start: {probe.problem}",
            "ONNX models cannot be run",
            f"{sys.executable} -m pip install --force-reinstall 'onnxruntime>=1.22'",
        )
    for plugin in installed(PLUGINS):
        if probe.problem is None and not any(_of(plugin) in device for device in probe.devices):
            yield Finding(
                "note",
                "onnxruntime",
                f"{plugin} is installed and lists no device here",
                "ONNX models run on the CPU",
                "",
            )


def _of(plugin: str) -> str:
    return {"onnxruntime-qnn": "QNN", "onnxruntime-ep-openvino": "OpenVINO"}[plugin]
