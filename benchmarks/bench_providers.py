"""What execution providers make of a decoder: nodes by provider, distance from the CPU, speed.

A simulator's speed says nothing of the device that it stands for; what runs and how far its numbers
are from the CPU's does. Runs with the provider that is asked for and is installed:

    python -m benchmarks.bench_providers --provider qnn
    python -m benchmarks.bench_providers --provider openvino     # in an environment with its wheel

Each model is loaded twice, so that the second time finds what the first one compiled.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.report import Figure, figure, report
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.config import EdgeConfig
from edge_llm.errors import EdgeLLMError
from tests.support import onnx_files
from tests.support.onnx_files import TinyOnnx, write_folder
from tests.support.onnx_providers import SIMULATOR, WithoutAnd

BASE = TinyOnnx(
    layers=4, width=128, heads=4, kv_heads=2, feed_forward=512, vocab=2048, context=256, scale=0.1
)
MODELS = {
    "plain": TinyOnnx(**{**vars(BASE), "grouped": False, "position_ids": True}),
    "grouped": BASE,
    "grouped_int4": TinyOnnx(**{**vars(BASE), "storage": "int4"}),
}
PROMPT = [i * 7919 % BASE.vocab for i in range(64)]
CONTINUED = [i * 104_729 % BASE.vocab for i in range(16)]


def main() -> None:
    """Measure one provider."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provider", required=True, choices=("qnn", "openvino"))
    provider = parser.parse_args().provider
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in MODELS.items():
            with patch.object(onnx_files, "GraphBuilder", WithoutAnd):
                path = write_folder(Path(folder) / name, spec)
            figures |= compare(name, path, provider, folder)
    packages = ("onnxruntime", "onnxruntime-qnn", "onnxruntime-openvino")
    report(f"providers_{provider}", figures, packages)


def compare(name: str, path: Path, provider: str, folder: str) -> dict[str, Figure]:
    """Figures of one model, on the provider alone where it can, else with the CPU's help."""
    found: dict[str, Figure] = {}
    options = {
        "context_size": 128, "max_num_seqs": 1, "prefix_slots": 0, "cache_dir": f"{folder}/cache",
        "provider": provider, "provider_options": SIMULATOR if provider == "qnn" else None,
    }  # fmt: skip
    try:
        load_backend(path, EdgeConfig(**options)).close()  # type: ignore[arg-type]
    except EdgeLLMError as error:
        print(f"{name}: {error}", file=sys.stderr)
        options["cpu_fallback"] = True
    for round_ in ("first", "second"):
        if round_ == "first":
            options["cache_dir"] = f"{folder}/cache_{name}"
        before = time.perf_counter()
        backend = load_backend(path, EdgeConfig(**options))  # type: ignore[arg-type]
        found[f"{name}.load_{round_}"] = figure([time.perf_counter() - before], "s")
        if round_ == "first":
            backend.close()
    cpu = load_backend(path, EdgeConfig(context_size=128, device="cpu", threads=1))
    assert backend.info.placement is not None
    for place, count in backend.info.placement.nodes.items():
        found[f"{name}.nodes.{place}"] = figure([count], "nodes")
    ours, theirs = (logits(b) for b in (backend, cpu))
    scale = float(np.abs(theirs).max())
    found[f"{name}.logits_difference"] = figure(
        [float(np.abs(ours - theirs).max())], f"of {scale:.1f}"
    )
    agree = float((ours.argmax(1) == theirs.argmax(1)).mean())
    found[f"{name}.same_top_token"] = figure([agree], "share")
    found |= speeds(name, backend, cpu)
    backend.close()
    cpu.close()
    return found


def logits(backend: Backend) -> np.ndarray:
    """Of a prompt and of tokens after it, one at a time."""
    rows = [backend.forward([BatchItem(0, 0, PROMPT, len(PROMPT))]).copy()]
    for token in CONTINUED:
        rows.append(backend.forward([BatchItem(0, backend.length(0), [token], 1)]).copy())
    backend.free(0)
    return np.concatenate(rows)


def speeds(name: str, backend: Backend, cpu: Backend) -> dict[str, Figure]:
    """Tokens a second, in turn with the CPU on one thread."""
    times: dict[str, list[list[float]]] = {"prefill": [[], []], "decode": [[], []]}
    for _ in range(2):
        for side, one in enumerate((backend, cpu)):
            before = time.perf_counter()
            one.forward([BatchItem(0, 0, PROMPT, 1)])
            middle = time.perf_counter()
            for token in CONTINUED:
                one.forward([BatchItem(0, one.length(0), [token], 1)])
            after = time.perf_counter()
            one.free(0)
            times["prefill"][side].append(len(PROMPT) / (middle - before))
            times["decode"][side].append(len(CONTINUED) / (after - middle))
    return {
        f"{name}.{part}": figure(ours, "tok/s", peer=float(np.median(theirs)))
        for part, (ours, theirs) in times.items()
    }


if __name__ == "__main__":
    main()
