"""Speed and memory of one model, measured in a process of its own.

Started as `python -m edge_llm.cli.report.measure`: a model that ends its process ends no report,
and the growth of the resident set is that of this model alone.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.backends.speed import machine_speed
from edge_llm.config import load_config
from edge_llm.device.speed import MachineSpeed
from edge_llm.errors import EdgeLLMError
from edge_llm.hub.decode_cost import DecodeCost
from edge_llm.hub.decode_rate import predict_decode_rate
from edge_llm.hub.resolve import resolve_model

CONTEXTS = (64, 512, 2048, 4096)
QUICK_CONTEXTS = (64, 512)
"""Tokens before the one that is timed."""
BUDGET_S, QUICK_BUDGET_S = 3.0, 1.0
"""Time for decode steps at each context."""
LEAST_STEPS = 8
MOST_STEPS = 32
"""After these a sequence is put back, so that all steps are at nearly the same context."""
_TOKEN = 7
"""Any token will do: a step costs the same."""


def measure_model(reference: str, *, quick: bool) -> dict[str, Any]:
    """Everything about one model as it runs here.

    Raises:
        EdgeLLMError: it cannot be found, read or run.
    """
    model = resolve_model(reference)
    contexts = QUICK_CONTEXTS if quick else CONTEXTS
    config = load_config({"model": reference, "max_num_seqs": 1, "prefix_slots": 0})
    cost, facts = describe(model.path)
    speed = machine_speed(config)
    before, started = resident_bytes(), time.perf_counter()
    backend = load_backend(model.path, config)
    try:
        load_s = time.perf_counter() - started
        longest = backend.capabilities.max_model_len - MOST_STEPS - 1
        fitting = [context for context in contexts if context <= longest]
        budget = QUICK_BUDGET_S if quick else BUDGET_S
        rows = [measure_context(backend, context, budget) for context in fitting]
        for row in rows:
            row["predicted_tok_s"] = _predicted(cost, row["context"], speed)
        info = backend.info
        return {
            **facts,
            "model": model.name,
            "load_s": round(load_s, 3),
            "context_size": backend.capabilities.max_model_len,
            "threads": None if info.threads is None else asdict(info.threads),
            "placement": None if info.placement is None else info.placement.provider,
            "memory": {
                "estimated_bytes": None if info.memory is None else info.memory.total,
                "resident_bytes": _difference(resident_bytes(), before),
                "peak_bytes": peak_bytes(),
            },
            "speed": rows,
        }
    finally:
        backend.close()


def describe(path: Path) -> tuple[DecodeCost | None, dict[str, Any]]:
    """What a token reads of the model, and what the files say of it."""
    if path.suffix == ".onnx" or path.is_dir():
        from edge_llm.hub.onnx import find_model, quantization, read_decoder, read_onnx
        from edge_llm.hub.onnx_cost import onnx_decode_cost

        graph = read_onnx(find_model(path).model)
        facts = {"format": "onnx", "quantization": quantization(graph)}
        cost = onnx_decode_cost(graph, read_decoder(graph))
        return cost, {**facts, "weights_bytes": graph.weight_bytes}
    from edge_llm.hub.gguf import check_loadable, read_gguf
    from edge_llm.hub.gguf_cost import gguf_decode_cost

    file = read_gguf(path)
    check_loadable(file)
    info = file.info
    return gguf_decode_cost(file), {
        "format": "gguf",
        "architecture": info.architecture,
        "parameters": info.num_parameters,
        "quantization": info.quantization,
        "weights_bytes": info.weight_bytes,
    }


def measure_context(backend: Backend, context: int, budget_s: float) -> dict[str, Any]:
    """Tokens a second of reading a prompt of `context` tokens, and of writing after it."""
    backend.free(0)
    chunk = backend.capabilities.max_num_batched_tokens
    started = time.perf_counter()
    for start in range(0, context, chunk):
        size = min(chunk, context - start)
        backend.forward([BatchItem(0, start, [_TOKEN] * size, 1)])
    prefill_s = time.perf_counter() - started
    steps = _time_steps(backend, context, budget_s)
    return {
        "context": context,
        "prefill_tok_s": round(context / prefill_s, 1),
        "decode_tok_s": round(1 / statistics.median(steps), 2),
        "decode_best_tok_s": round(1 / min(steps), 2),
        "steps": len(steps),
    }


def _time_steps(backend: Backend, context: int, budget_s: float) -> list[float]:
    steps: list[float] = []
    begun = time.perf_counter()
    while len(steps) < LEAST_STEPS or time.perf_counter() - begun < budget_s:
        position = context + len(steps) % MOST_STEPS
        started = time.perf_counter()
        backend.forward([BatchItem(0, position, [_TOKEN], 1)])
        steps.append(time.perf_counter() - started)
        if len(steps) % MOST_STEPS == 0 and not backend.truncate(0, context):
            break  # a state that cannot be rolled back
    return steps


def _predicted(cost: DecodeCost | None, context: int, speed: MachineSpeed) -> float | None:
    return None if cost is None else round(predict_decode_rate(cost, context, speed), 2)


def resident_bytes() -> int | None:
    """Resident set of this process, pages of files included; None where nobody tells."""
    return _status("VmRSS:")


def peak_bytes() -> int | None:
    """The largest that it ever was."""
    return _status("VmHWM:")


def _status(name: str) -> int | None:
    """Source: proc_pid_status(5)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith(name)]
    return found[0] if found else None


def _difference(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before


def main() -> None:
    """As a child: print the measurement, or the error, as one line of JSON."""
    reference, *flags = sys.argv[1:]
    try:
        record = measure_model(reference, quick="--quick" in flags)
    except EdgeLLMError as exc:
        record = {"model": reference, "problem": str(exc)}
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
