"""Whether memory and speed of a model are what is said of it before it is loaded.

Twelve shapes and storage types with random weights, each loaded in a process of its own. Memory is
measured as `bench_memory` does; speed is the best of some decode steps of one sequence, because
others on the machine can only make a step slower. The machine's own rates are measured before and
after each model, so that they and the steps meet the same moments, and the best of each counts.
With `--threads 1` steps are timed by the clock of this thread, which stands still while others have
the core: on a busy machine that is the only figure worth having.

`scripts/bench models` runs this as a part; alone it is `python -m benchmarks.models_speed`.
`--quick` takes four models.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.bench_memory import CopiedWeights, resident_bytes, use
from benchmarks.random_model import (
    LLAMA_3_2_1B,
    QWEN2_0_5B,
    SMALL_MOE,
    SMOLLM2_135M,
    SMOLLM2_360M,
    Shape,
    Storage,
    cached_model,
)
from benchmarks.report import Figure, figure, report
from edge_llm.backends import load_backend
from edge_llm.backends.base import Backend, BatchItem
from edge_llm.backends.llama_cpp.native import load_library
from edge_llm.backends.llama_cpp.probe import probe_library
from edge_llm.config import EdgeConfig, KVCacheType
from edge_llm.device.bandwidth import measure_bandwidth
from edge_llm.device.speed import MachineSpeed
from edge_llm.device.topology import read_topology
from edge_llm.hub.decode_rate import predict_decode_rate
from edge_llm.hub.gguf import read_gguf
from edge_llm.hub.gguf_cost import gguf_decode_cost

MEMORY_GOAL = 0.1
SPEED_GOAL = 0.2
"""Largest relative errors of what is said before loading."""
DOCTOR_GOAL_S = 2.0

DEPTHS = (64, 1024)
STEP_BUDGET_S = 1.0
LEAST_STEPS = 16
MOST_STEPS = 64
"""After these it goes back to the depth, so that all steps are alike."""
CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class Case:
    """One model, and how it is loaded."""

    name: str
    shape: Shape
    storage: Storage
    kv_cache_type: KVCacheType = "f16"

    def path(self) -> Path:
        """Its file, made on first use."""
        names = {"qwen2-0.5b.Q4_0": "qwen2-0.5b-q4_0", "qwen2-0.5b.Q8_0": "qwen2-0.5b-q8_0"}
        key = f"{self.name}.{self.storage}"
        return cached_model(names.get(key, key.lower()), self.shape, storage=self.storage)

    @property
    def key(self) -> str:
        """A key of the report."""
        kv = "" if self.kv_cache_type == "f16" else f".kv_{self.kv_cache_type}"
        return f"{self.name}.{self.storage}{kv}"


CASES = (
    Case("qwen2-0.5b", QWEN2_0_5B, "Q4_0"),
    Case("smollm2-135m", SMOLLM2_135M, "Q8_0"),
    Case("llama-1b", LLAMA_3_2_1B, "Q4_K"),
    Case("small-moe", SMALL_MOE, "Q4_K"),
    Case("smollm2-135m", SMOLLM2_135M, "F16"),
    Case("smollm2-360m", SMOLLM2_360M, "Q4_0"),
    Case("smollm2-360m", SMOLLM2_360M, "Q5_0"),
    Case("qwen2-0.5b", QWEN2_0_5B, "Q8_0"),
    Case("qwen2-0.5b", QWEN2_0_5B, "Q8_0", "q8_0"),
    Case("llama-1b", LLAMA_3_2_1B, "Q8_0"),
    Case("llama-1b", LLAMA_3_2_1B, "Q6_K"),
    Case("llama-1b", LLAMA_3_2_1B, "IQ4_XS"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one load took and gave."""

    estimated: int
    resident: int
    """Growth of the resident set, in bytes."""
    copied: int
    """Of that, pages of weights that are there in another layout too."""
    rates: Mapping[str, float]
    """Tokens a second by depth."""


def main() -> None:
    """Measure every case; or, as a child, one of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="finish within 45 seconds")
    parser.add_argument("--threads", type=int, default=read_topology().num_big_cores)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        case = next(case for case in CASES if case.key == arguments.child)
        print(json.dumps(asdict(run_child(case, arguments.threads))))
        return
    cases = CASES[:4] if arguments.quick else CASES
    report("models_speed", measure(cases, arguments.threads), ["llama-cpp-python"])


def measure_part(*, quick: bool) -> dict[str, Figure]:
    """As a part of `bench_models`: every case, or four of them."""
    return measure(CASES[:4] if quick else CASES, read_topology().num_big_cores)


def measure(cases: Iterable[Case], threads: int) -> dict[str, Figure]:
    """All figures; `bench_models` puts them beside its own."""
    outcomes: dict[Case, Outcome] = {}
    speeds = [measure_machine(threads)]
    for case in cases:
        print(case.key, file=sys.stderr)
        outcomes[case] = run(case, threads)
        speeds.append(measure_machine(threads))
    speed = best_of(speeds)
    figures = {"bandwidth": figure([speed.bandwidth / 1e9], "GB/s")}
    for name, rate in speed.kernels.items():
        figures[f"kernel.{name}"] = figure([rate / 1e9], "GB/s")
    for case, outcome in outcomes.items():
        figures |= make_figures(case, outcome, speed)
    figures |= summarise(figures)
    return figures | time_doctor()


def measure_machine(threads: int) -> MachineSpeed:
    """The rates that predictions are made from, now."""
    found = measure_bandwidth(threads)
    return MachineSpeed(found.bytes_per_s, threads, probe_library().kernels)


def best_of(speeds: Iterable[MachineSpeed]) -> MachineSpeed:
    """The highest of each rate: others on the machine only lower them."""
    seen = list(speeds)
    kernels = {name: max(s.kernels[name] for s in seen) for name in seen[0].kernels}
    return MachineSpeed(max(s.bandwidth for s in seen), seen[0].threads, kernels)


def make_figures(case: Case, outcome: Outcome, speed: MachineSpeed) -> dict[str, Figure]:
    """What was said beside what was measured, and the errors."""
    needed = outcome.resident - outcome.copied
    error = abs(outcome.estimated - needed) / needed
    mib = 2**20
    figures = {
        f"{case.key}.estimated": figure([outcome.estimated / mib], "MiB", peer=needed / mib),
        f"{case.key}.memory_error": figure([error], "ratio", goal=MEMORY_GOAL, direction="at_most"),
    }
    cost = gguf_decode_cost(read_gguf(case.path()), case.kv_cache_type)
    for depth, measured in outcome.rates.items():
        predicted = predict_decode_rate(cost, int(depth), speed)
        error = abs(predicted - measured) / measured
        figures |= {
            f"{case.key}.{depth}.predicted": figure([predicted], "tok/s", peer=measured),
            f"{case.key}.{depth}.speed_error": figure(
                [error], "ratio", goal=SPEED_GOAL, direction="at_most"
            ),
        }
    return figures


def summarise(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """The errors of all cases together: the middle one and the worst."""
    found = {}
    for kind, goal in (("memory_error", MEMORY_GOAL), ("speed_error", SPEED_GOAL)):
        errors = [fig.value for name, fig in figures.items() if name.endswith(kind)]
        middle, worst = statistics.median(errors), max(errors)
        found[f"{kind}.median"] = figure([middle], "ratio")
        found[f"{kind}.worst"] = figure([worst], "ratio", goal=goal, direction="at_most")
    return found


def time_doctor(repeats: int = 5) -> dict[str, Figure]:
    """Seconds that `edge-llm doctor` takes, from the shell's view."""
    command = [sys.executable, "-m", "edge_llm", "doctor", "--json"]
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        seconds.append(time.perf_counter() - started)
    return {"doctor": figure(seconds, "s", goal=DOCTOR_GOAL_S, direction="at_most")}


def run(case: Case, threads: int) -> Outcome:
    """Load in a process of its own."""
    case.path()
    command = [sys.executable, "-m", "benchmarks.models_speed", "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--child", case.key], stdout=subprocess.PIPE, check=True, text=True
    )
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def run_child(case: Case, threads: int) -> Outcome:
    """Load, compute a batch, look at the memory, and write tokens at some depths."""
    config = EdgeConfig(
        model=str(case.path()),
        context_size=CONTEXT,
        kv_cache_type=case.kv_cache_type,
        max_num_seqs=1,
        prefix_slots=0,
        threads=threads,
        cache_max_mb=0,
    )
    load_library()
    copied = CopiedWeights()
    before = resident_bytes()
    backend = load_backend(case.path(), config)
    use(backend)
    estimate = backend.info.memory
    assert estimate is not None
    resident = resident_bytes() - before
    clock = time.thread_time if threads == 1 else time.perf_counter
    rates = {str(depth): decode_rate(backend, depth, clock) for depth in DEPTHS}
    backend.close()
    return Outcome(estimate.total, resident, copied.num_bytes, rates)


def decode_rate(backend: Backend, depth: int, clock: Callable[[], float]) -> float:
    """Tokens a second, after `depth` tokens, of the fastest step."""
    backend.free(0)
    for start in range(0, depth, 512):
        backend.forward([BatchItem(0, start, [7] * min(512, depth - start), 1)])
    best = float("inf")
    begun, steps = time.perf_counter(), 0
    while steps < LEAST_STEPS or time.perf_counter() - begun < STEP_BUDGET_S:
        started = clock()
        backend.forward([BatchItem(0, depth + steps % MOST_STEPS, [7], 1)])
        best = min(best, clock() - started)
        steps += 1
        if steps % MOST_STEPS == 0:
            backend.truncate(0, depth)
    return 1 / best


if __name__ == "__main__":
    main()
